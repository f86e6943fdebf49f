"""Files of questions: every line is read, or the file is refused with the line's number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merging.benchmarks import Benchmark, Sample, read_jsonl
from merging.benchmarks.jsonl import MAX_LINE_BYTES, deal
from merging.errors import BenchmarkError

GOOD = [{"question": f"What is {i} + 1?", "answer": str(i + 1)} for i in range(8)]


def read(path: Path, lines: list[Any], **options: Any) -> Benchmark:
    file = path / "sums.jsonl"
    text = [line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode() for line in lines]
    file.write_bytes(b"\n".join(text))
    return read_jsonl(file, **{"name": "sums", "scorer": "last_number", "seed": 1, **options})


def test_half_of_the_questions_are_for_search_and_a_quarter_each_for_the_rest(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD)
    assert {split: len(samples) for split, samples in found.samples.items()} == {
        "search": 4,
        "validation": 2,
        "final": 2,
    }
    asked = [sample.question for samples in found.samples.values() for sample in samples]
    assert sorted(asked) == [line["question"] for line in GOOD]


def test_a_sample_names_its_line(tmp_path: Path) -> None:
    found = read(tmp_path, [GOOD[0], b"", GOOD[1], GOOD[2]])
    by_question = {sample.question: sample.id for samples in found.samples.values() for sample in samples}
    assert by_question == {"What is 0 + 1?": "line 1", "What is 1 + 1?": "line 3", "What is 2 + 1?": "line 4"}


def test_the_order_of_lines_changes_no_split(tmp_path: Path) -> None:
    def questions(benchmark: Benchmark) -> list[list[str]]:
        return [[sample.question for sample in samples] for samples in benchmark.samples.values()]

    first = questions(read(tmp_path, GOOD))
    assert questions(read(tmp_path, GOOD[::-1])) == first
    assert questions(read(tmp_path, GOOD, seed=2)) != first


@given(st.integers(3, 60), st.integers(0, 5))
def test_every_split_gets_something_and_nothing_is_lost(n: int, seed: int) -> None:
    samples = [Sample(str(i), f"q{i}", "1") for i in range(n)]
    splits = deal(samples, seed)
    sizes = [len(splits[split]) for split in ("search", "validation", "final")]
    assert sum(sizes) == n and sizes[1] == sizes[2] == max(1, n // 4)
    assert {sample.id for found in splits.values() for sample in found} == {sample.id for sample in samples}


def test_numbers_are_taken_as_answers(tmp_path: Path) -> None:
    answers = [3, -4, 2.5, 10**30]
    found = read(tmp_path, [{"question": f"q{i}", "answer": answer} for i, answer in enumerate(answers)])
    assert {s.answer for samples in found.samples.values() for s in samples} == {"3", "-4", "2.5", "1" + "0" * 30}


def test_a_language_is_expected_of_every_sample_that_names_none(tmp_path: Path) -> None:
    found = read(tmp_path, [*GOOD[:3], GOOD[3] | {"language": "fr"}], language="ja")
    assert found.language_gate
    assert sorted(str(s.language) for samples in found.samples.values() for s in samples) == ["fr", "ja", "ja", "ja"]
    assert not read(tmp_path, GOOD).language_gate


def test_one_language_asks_for_all(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="has no language, which its language gate needs"):
        read(tmp_path, [*GOOD[:3], GOOD[3] | {"language": "ja"}])


def test_the_mark_that_windows_puts_before_utf_8_is_read_over(tmp_path: Path) -> None:
    lines = [b"\xef\xbb\xbf" + json.dumps(GOOD[0]).encode(), *GOOD[1:]]
    assert read(tmp_path, lines).digest == read(tmp_path, GOOD).digest


def test_options_shape_how_questions_are_asked(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD, prompt="Q {question} A", stop=("Q",), max_new_tokens=3)
    assert (found.prompt, found.stop, found.max_new_tokens) == ("Q {question} A", ("Q",), 3)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", r"line 3 of sums.jsonl cannot be read: .*Found '\{'; expected one JSON object"),
        (b"not json at all", "Found 'not json at all'"),
        (b'["list"]', "line 3 of sums.jsonl is \\['list'\\]; expected an object"),
        (b'{"question": "a", "answer": NaN}', "NaN is not a number in JSON"),
        (b'{"question": "a", "answer": -Infinity}', "-Infinity is not a number"),
        (b'{"question": "a", "answer": 1e999}', "answer in line 3 of sums.jsonl is inf"),
        (b'{"question": "a", "answer": %s}' % (b"9" * 5000), "line 3 of sums.jsonl cannot be read"),
        (b'{"question": "a", "question": "b", "answer": "1"}', "the key 'question' comes twice"),
        (b"[" * 100_000, "line 3 of sums.jsonl cannot be read"),
        (b'{"question": "\xff", "answer": "1"}', "line 3 of sums.jsonl is not UTF-8"),
        (b"x" * (MAX_LINE_BYTES + 1), "line 3 of sums.jsonl is longer than"),
        ({"answer": "1"}, "question in line 3 of sums.jsonl is None; expected text"),
        ({"question": " ", "answer": "1"}, "question in line 3 of sums.jsonl is empty"),
        ({"question": 3, "answer": "1"}, "question in line 3 of sums.jsonl is 3; expected text"),
        ({"question": "a"}, "answer in line 3 of sums.jsonl is None; expected text"),
        ({"question": "a", "answer": True}, "answer in line 3 of sums.jsonl is True"),
        (
            {"question": "a", "answer": "many"},
            "the answer of line 3 of sums.jsonl is 'many'; last_number expects a number",
        ),
        (
            {"question": "a", "answer": "1", "subject": "x"},
            "has the field subject; expected only question, answer, language",
        ),
        (
            {"question": "a", "answer": "1", "language": "xx"},
            "the language of line 3 of sums.jsonl is 'xx'; expected an ISO 639-1 code",
        ),
        ({"question": "what IS 0 +  1?", "answer": "1"}, "line 3 of sums.jsonl asks the same as line 1"),
        (b'{"question": "a\\u0000", "answer": "1"}', "a character that is no text"),
        (b'{"question": "a\\ud800", "answer": "1"}', "a character that is no text"),
    ],
)
def test_a_line_that_cannot_be_read_is_refused_by_number(tmp_path: Path, line: Any, message: str) -> None:
    with pytest.raises(BenchmarkError, match=message):
        read(tmp_path, [*GOOD[:2], line, *GOOD[2:]])


@pytest.mark.parametrize("n", [0, 2])
def test_too_few_questions_are_refused(tmp_path: Path, n: int) -> None:
    with pytest.raises(BenchmarkError, match=f"has {n} questions; expected at least 3"):
        read(tmp_path, GOOD[:n])


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="is not a file on this machine"):
        read_jsonl(tmp_path / "none.jsonl", name="x", scorer="last_number", seed=0)
