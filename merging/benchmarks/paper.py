"""The benchmark of the paper on evolutionary merging (arXiv 2403.13187): arithmetic told in Japanese, answered in Japanese.

Its search ran on GSM8K's test questions 250 to 1318 in translation, and MGSM's 250 Japanese questions, which are the
others, decided. Both data sets are on the Hub and not in Progeny: this file reads copies of them and downloads nothing.
They are public test sets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from merging import plain
from merging.benchmarks.question_files import deal
from merging.benchmarks.questions import QUESTION, Questions
from merging.benchmarks.samples import Sample
from merging.errors import BenchmarkError

NAME: Final = "paper-math-ja"
INSTRUCTION: Final = "次の指示に対する適切な回答を、順を追って考えながら日本語で書いてください。"
"""A sentence of our own in the place of the paper's, which a comparison to the letter needs."""
STOP: Final = ("Instruction:", "Instruction", "Response:", "Response")
MAX_NEW_TOKENS: Final = 1024
SEED: Final = 0
ANSWER_MARK: Final = "####"
"""What stands before the number at the end of GSM8K's worked answers."""
FORMATS: Final = ("parquet", "jsonl", "tsv")


@dataclass(frozen=True)
class Source:
    """A data set on the Hub: which of its configurations and splits, how many rows, and the number of the first one."""

    stem: str
    dataset: str
    config: str | None
    split: str
    n: int
    first: int

    @property
    def title(self) -> str:
        return f"{self.dataset} ({', '.join(filter(None, [self.config, self.split]))})"


GSM8K: Final = Source("gsm8k_ja", "SakanaAI/gsm8k-ja-test_250-1319", None, "test", 1069, 250)
MGSM: Final = Source("mgsm_ja", "juletxara/mgsm", "ja", "test", 250, 0)


def paper_questions(folder: Path, instruction: str = INSTRUCTION) -> Questions:
    """Three quarters of GSM8K's questions to search, a quarter to validate, all of MGSM's as the final split.

    Asked without examples, scored by the last number as the paper read it, and only in Japanese. The `folder` holds
    `gsm8k_ja` and `mgsm_ja`, each as `.parquet` or `.jsonl` with the data set's own columns, or as MGSM's own `.tsv`.
    BenchmarkError names what is missing and where to get it.
    """
    dealt = deal(list(_samples(folder, GSM8K)), SEED)
    return Questions(
        name=NAME,
        title="The paper's arithmetic in Japanese",
        scorer_name="last_number_paper",
        language_gate=True,
        max_new_tokens=MAX_NEW_TOKENS,
        prompt=f"{instruction}\n\n### 指示:\n{QUESTION}\n\n### 応答:",
        stop=STOP,
        samples={
            "search": dealt["search"] + dealt["validation"],
            "validation": dealt["final"],
            "final": tuple(_samples(folder, MGSM)),
        },
    )


def _samples(folder: Path, source: Source) -> Iterator[Sample]:
    path = _file(folder, source)
    rows = list(_rows(path))
    if len(rows) != source.n:
        raise BenchmarkError(f"{path.name} has {len(rows)} rows; expected the {source.n} of {source.title}")
    for i, row in enumerate(rows, start=source.first):
        where = f"row {i - source.first + 1} of {path.name}"
        question = plain.text(row.get("question"), f"question in {where}", BenchmarkError)
        yield Sample(f"{source.stem}-{i}", question.strip(), _answer(row, where), "ja")


def _file(folder: Path, source: Source) -> Path:
    paths = [folder / f"{source.stem}.{ending}" for ending in FORMATS]
    for path in paths:
        if path.is_file():
            return path
    raise BenchmarkError(
        f"the questions of {source.title} are not in {folder}: download them from "
        f"https://huggingface.co/datasets/{source.dataset} and save them as {', '.join(path.name for path in paths[:-1])} "
        f"or {paths[-1].name}"
    )


def _rows(path: Path) -> Iterator[Mapping[str, object]]:
    if path.suffix == ".parquet":
        yield from _parquet_rows(path)
        return
    for i, line in enumerate(_text(path).split("\n"), start=1):
        if line.strip():
            yield _json_row(line, f"line {i} of {path.name}") if path.suffix == ".jsonl" else _tsv_row(line)


def _parquet_rows(path: Path) -> Iterator[Mapping[str, object]]:
    from pyarrow import ArrowException, parquet  # type: ignore[import-untyped]

    try:
        yield from parquet.read_table(path).to_pylist()
    except (ArrowException, OSError) as error:
        raise BenchmarkError(f"{path.name} cannot be read as parquet: {error}") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BenchmarkError(f"{path.name} is not UTF-8: {error}") from error
    except OSError as error:
        raise BenchmarkError(f"{path} cannot be read: {error.strerror}") from error


def _json_row(line: str, where: str) -> Mapping[str, object]:
    try:
        return plain.mapping(json.loads(line), where, BenchmarkError)
    except (ValueError, RecursionError) as error:
        raise BenchmarkError(f"{where} is no JSON: {error}") from error


def _tsv_row(line: str) -> Mapping[str, object]:
    """MGSM's own files have no header: a question, a tab and the number."""
    question, _, answer = line.rstrip("\r").rpartition("\t")
    return {"question": question, "answer_number": answer}


def _answer(row: Mapping[str, object], where: str) -> str:
    """`answer_number` where there is one, else what follows `####` in the worked answer, else all of the answer."""
    found = row["answer_number"] if row.get("answer_number") is not None else row.get("answer")
    if isinstance(found, int | float) and not isinstance(found, bool):
        return f"{plain.real(found, f'answer in {where}', BenchmarkError):.12g}"
    return plain.text(found, f"answer in {where}", BenchmarkError).rpartition(ANSWER_MARK)[2].strip()
