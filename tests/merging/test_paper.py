"""The paper's benchmark from local files of the data sets' shapes; nothing is downloaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow  # type: ignore[import-untyped]
import pytest
from pyarrow import parquet

from merging.benchmarks.paper import GSM8K, MGSM, paper_questions
from merging.errors import BenchmarkError
from merging.evaluation import evaluate, named_scores
from tests.merging.test_evaluation import Speaker

Row = dict[str, object]
GSM8K_ROWS: list[Row] = [
    {"question": f"りんごが{i}個あります。全部で何個?", "answer": f"りんごは{i}個。\n#### {i:,}"} for i in range(1069)
]
MGSM_ROWS: list[Row] = [
    {"question": f"{i}人います。何人?", "answer": None, "answer_number": i, "equation_solution": None}
    for i in range(250)
]


def as_jsonl(path: Path, rows: list[Row]) -> None:
    path.with_suffix(".jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")


def as_parquet(path: Path, rows: list[Row]) -> None:
    parquet.write_table(pyarrow.Table.from_pylist(rows), path.with_suffix(".parquet"))


def as_tsv(path: Path, rows: list[Row]) -> None:
    text = "".join(f"{row['question']}\t{row['answer_number']}\n" for row in rows)
    path.with_suffix(".tsv").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("write_mgsm", [as_jsonl, as_parquet, as_tsv])
@pytest.mark.parametrize("write_gsm8k", [as_jsonl, as_parquet])
def test_every_format_gives_the_same_benchmark(
    tmp_path: Path, write_gsm8k: Callable[..., None], write_mgsm: Callable[..., None]
) -> None:
    write_gsm8k(tmp_path / "gsm8k_ja", GSM8K_ROWS)
    write_mgsm(tmp_path / "mgsm_ja", MGSM_ROWS)
    found = paper_questions(tmp_path)
    assert {split: len(samples) for split, samples in found.samples.items()} == {
        "search": 802,
        "validation": 267,
        "final": 250,
    }
    assert [(s.id, s.answer) for s in found.take("final", 2)] == [("mgsm_ja-0", "0"), ("mgsm_ja-1", "1")]
    by_id = {s.id: s.answer for split in ("search", "validation") for s in found.take(split)}  # type: ignore[arg-type]
    assert by_id["gsm8k_ja-250"] == "0" and by_id["gsm8k_ja-1318"] == "1,068"


def test_it_is_asked_and_scored_as_in_the_paper(tmp_path: Path) -> None:
    as_jsonl(tmp_path / "gsm8k_ja", GSM8K_ROWS)
    as_tsv(tmp_path / "mgsm_ja", MGSM_ROWS)
    found = paper_questions(tmp_path)
    assert (found.scorer, found.language_gate, found.max_new_tokens, found.shots) == (
        "last_number_paper@1",
        True,
        1024,
        (),
    )
    assert found.stop == ("Instruction:", "Instruction", "Response:", "Response")
    assert found.rendered(found.take("final")[3]).endswith("\n\n### 指示:\n3人います。何人?\n\n### 応答:")
    said = evaluate(Speaker("答えは0人です。", "The answer is 1.", "答えは5人です。"), found, "final", 3)
    assert named_scores(found, said) == pytest.approx({"acc": 2 / 3, "acc_ja": 1 / 3})


def test_the_papers_own_sentence_can_be_put_in(tmp_path: Path) -> None:
    as_jsonl(tmp_path / "gsm8k_ja", GSM8K_ROWS)
    as_tsv(tmp_path / "mgsm_ja", MGSM_ROWS)
    assert paper_questions(tmp_path, "考えましょう。").prompt == "考えましょう。\n\n### 指示:\n{question}\n\n### 応答:"


@pytest.mark.parametrize(("missing", "dataset"), [("gsm8k_ja", GSM8K.dataset), ("mgsm_ja", MGSM.dataset)])
def test_a_missing_copy_is_refused_with_what_to_fetch(tmp_path: Path, missing: str, dataset: str) -> None:
    if missing == "mgsm_ja":
        as_jsonl(tmp_path / "gsm8k_ja", GSM8K_ROWS)
    with pytest.raises(BenchmarkError, match=f"download them from https://huggingface.co/datasets/{dataset} and save"):
        paper_questions(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "gsm8k_ja.jsonl has 0 rows; expected the 1069 of SakanaAI/gsm8k-ja-test_250-1319"),
        (b"{", "line 1 of gsm8k_ja.jsonl is no JSON"),
        (b"\xff", "gsm8k_ja.jsonl is not UTF-8"),
        (b"3", "line 1 of gsm8k_ja.jsonl is 3; expected an object"),
        (b'{"answer": "1"}\n' * 1069, "question in row 1 of gsm8k_ja.jsonl is None"),
        (b'{"question": "a"}\n' * 1069, "answer in row 1 of gsm8k_ja.jsonl is None"),
        (b'{"question": "a", "answer": "many"}\n' * 1069, "the answer of sample gsm8k_ja-.* is 'many'"),
    ],
)
def test_a_copy_of_another_shape_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "gsm8k_ja.jsonl").write_bytes(content)
    as_tsv(tmp_path / "mgsm_ja", MGSM_ROWS)
    with pytest.raises(BenchmarkError, match=message):
        paper_questions(tmp_path)


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gsm8k_ja.parquet").write_bytes(b"PAR1")
    with pytest.raises(BenchmarkError, match=r"gsm8k_ja.parquet cannot be read as parquet"):
        paper_questions(tmp_path)
