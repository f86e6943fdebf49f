"""Benchmarks from a file of questions: JSON Lines with `question`, `answer` and, if an answer's language matters, `language`.

Every line is read or the file is refused with the number of the line: a benchmark that lost lines in silence would
still look like a score.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from merging import plain
from merging.benchmarks.languages import check_language
from merging.benchmarks.questions import QUESTION, Questions
from merging.benchmarks.samples import Sample, Split, normalised
from merging.benchmarks.scorers import scorers
from merging.errors import BenchmarkError

MAX_LINE_BYTES: Final = 1024 * 1024
MAX_FILE_BYTES: Final = 256 * 1024 * 1024
MIN_SAMPLES: Final = 3
FIELDS: Final = ("question", "answer", "language")
PROMPT: Final = QUESTION + "\n"
N_NEW_TOKENS: Final = 256


def read_questions(
    path: str | Path,
    *,
    name: str,
    scorer: str,
    seed: int,
    language: str | None = None,
    prompt: str = PROMPT,
    stop: tuple[str, ...] = (),
    max_new_tokens: int = N_NEW_TOKENS,
) -> Questions:
    """The benchmark of a file: half of it to search, a quarter each for validation and final, dealt by `seed`.

    `language` is expected of every sample that names none; once any sample expects one, all must. BenchmarkError names
    the line, what was found and what is expected.
    """
    source = Path(path)
    samples = tuple(_samples(source, language, scorer))
    if len(samples) < MIN_SAMPLES:
        raise BenchmarkError(
            f"{source.name} has {len(samples)} questions; expected at least {MIN_SAMPLES}, one for each split"
        )
    return Questions(
        name=name,
        title=name,
        scorer_name=scorer,
        language_gate=any(sample.language is not None for sample in samples),
        max_new_tokens=max_new_tokens,
        prompt=prompt,
        stop=stop,
        samples=deal(samples, seed),
    )


def deal(samples: Sequence[Sample], seed: int) -> dict[Split, tuple[Sample, ...]]:
    """Samples in an order that only the seed and their questions decide, cut into 50, 25 and 25 %, each at least one.

    Neither the order of lines nor a line added elsewhere moves two samples past each other.
    """
    order = sorted(
        samples, key=lambda sample: hashlib.sha256(f"{seed}/{normalised(sample.question)}".encode()).digest()
    )
    quarter = max(1, len(order) // 4)
    n_search = len(order) - 2 * quarter
    return {
        "search": tuple(order[:n_search]),
        "validation": tuple(order[n_search : n_search + quarter]),
        "final": tuple(order[n_search + quarter :]),
    }


def _samples(path: Path, language: str | None, scorer: str) -> Iterator[Sample]:
    seen: dict[str, int] = {}
    for number, text in _lines(path):
        where = f"line {number} of {path.name}"
        sample = _sample(_object(text, where), number, where, language)
        scorers.get(scorer).check_answer(sample.answer, where)
        key = normalised(sample.question)
        if key in seen:
            raise BenchmarkError(
                f"{where} asks the same as line {seen[key]}: {sample.question[:80]!r}; keep one of them"
            )
        seen[key] = number
        yield sample


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbers from 1 and texts of all lines that are not blank."""
    if not path.is_file():
        raise BenchmarkError(
            f"{path} is not a file on this machine; expected a file of questions, one JSON object a line"
        )
    if (size := path.stat().st_size) > MAX_FILE_BYTES:
        raise BenchmarkError(f"{path.name} has {size} bytes; expected at most {MAX_FILE_BYTES}")
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""), start=1):
            where = f"line {number} of {path.name}"
            if len(line) > MAX_LINE_BYTES:
                raise BenchmarkError(f"{where} is longer than {MAX_LINE_BYTES} bytes; expected one JSON object a line")
            if line.strip():
                yield number, _decoded(line, where)


def _decoded(line: bytes, where: str) -> str:
    try:
        return line.decode("utf-8-sig" if where.startswith("line 1 ") else "utf-8")
    except UnicodeDecodeError as error:
        raise BenchmarkError(f"{where} is not UTF-8: {error}; save the file as UTF-8") from error


def _object(text: str, where: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=plain.unique_keys, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        excerpt = text.strip()[:80]
        raise BenchmarkError(f"{where} cannot be read: {error}. Found {excerpt!r}; expected one JSON object") from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number in JSON")


def _sample(value: object, number: int, where: str, language: str | None) -> Sample:
    found = plain.mapping(value, where, BenchmarkError)
    if unknown := sorted(set(found) - set(FIELDS)):
        raise BenchmarkError(f"{where} has the field {', '.join(unknown)}; expected only {', '.join(FIELDS)}")
    question = plain.text(found.get("question"), f"question in {where}", BenchmarkError)
    if not question.strip():
        raise BenchmarkError(f"question in {where} is empty")
    code = plain.optional_text(found.get("language", language), f"language in {where}", BenchmarkError)
    return Sample(
        id=f"line {number}",
        question=_storable(question, where),
        answer=_storable(_answer(found.get("answer"), where), where),
        language=None if code is None else check_language(code, where),
    )


def _answer(value: object, where: str) -> str:
    """An answer may be written as a number."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(plain.real(value, f"answer in {where}", BenchmarkError) if isinstance(value, float) else value)
    return plain.text(value, f"answer in {where}", BenchmarkError)


def _storable(text: str, where: str) -> str:
    """The text; BenchmarkError for NUL or half of a surrogate pair, which no database and no tokenizer takes."""
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise BenchmarkError(f"{where} holds a character that is no text (NUL or half of a surrogate pair); remove it")
    return text
