"""Files of questions: every line is read, or the file is refused with the line's number."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merging.benchmarks import Questions, Sample, read_questions
from merging.benchmarks.question_files import MAX_LINE_BYTES, deal, parse
from merging.benchmarks.scorers import scorers
from merging.errors import BenchmarkError

GOOD = [{"question": f"What is {i} + 1?", "answer": str(i + 1)} for i in range(8)]


def read(path: Path, lines: list[Any], **options: Any) -> Questions:
    file = path / "sums.jsonl"
    text = [line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode() for line in lines]
    file.write_bytes(b"\n".join(text))
    return read_questions(file, **{"name": "sums", "scorer": "last_number", "seed": 1, **options})


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
    def asked(questions: Questions) -> list[list[str]]:
        return [[sample.question for sample in samples] for samples in questions.samples.values()]

    first = asked(read(tmp_path, GOOD))
    assert asked(read(tmp_path, GOOD[::-1])) == first
    assert asked(read(tmp_path, GOOD, seed=2)) != first


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
    found = read(tmp_path, GOOD, prompt="Q {question} A", stop=("Q",), max_new_tokens=3, as_chat=True)
    assert (found.prompt, found.stop, found.max_new_tokens, found.as_chat) == ("Q {question} A", ("Q",), 3, True)
    with_pattern = read(tmp_path, GOOD, scorer="regex", pattern=r"\d+")
    assert (with_pattern.scorer, with_pattern.pattern) == ("regex@1", r"\d+")


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
            "has the field subject; expected only question, answer, choices, language, few_shot",
        ),
        (
            {"question": "a", "answer": "1", "language": "xx"},
            "the language of line 3 of sums.jsonl is 'xx'; expected an ISO 639-1 code",
        ),
        ({"question": "what IS 0 +  1?", "answer": "1"}, "line 3 of sums.jsonl asks the same as line 1"),
        (
            {"question": "a", "answer": "1", "choices": "1|2"},
            "choices in line 3 of sums.jsonl is '1|2'; expected a list",
        ),
        ({"question": "a", "answer": "1", "choices": ["1"]}, "line 3 of sums.jsonl has 1 choices; expected 2 to 26"),
        ({"question": "a", "answer": "1", "choices": [*range(27)]}, "has 27 choices; expected 2 to 26"),
        ({"question": "a", "answer": "1", "choices": ["1", " 1 "]}, "line 3 of sums.jsonl offers a choice twice"),
        ({"question": "a", "answer": "1", "choices": ["1", " "]}, "line 3 of sums.jsonl has an empty choice"),
        ({"question": "a", "answer": "3", "choices": ["1", "2"]}, "is '3'; expected one of its choices or the letter"),
        ({"question": "a", "answer": "1", "choices": ["1", None]}, r"choices in line 3 of sums.jsonl\[1\] is None"),
        (
            {"question": "a", "answer": "1", "few_shot": 1},
            "few_shot in line 3 of sums.jsonl is 1; expected true or false",
        ),
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
        read_questions(tmp_path / "none.jsonl", name="x", scorer="last_number", seed=0)


@pytest.mark.parametrize("refused", ["is_file", "open"])  # the folder, or the file
def test_a_file_that_must_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str) -> None:
    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "sums.jsonl").write_text("")
    monkeypatch.setattr(Path, refused, refuse)  # root, as whom tests may run, is refused nothing
    with pytest.raises(BenchmarkError, match=r"sums.jsonl cannot be read: Permission denied; let whoever runs"):
        read_questions(tmp_path / "sums.jsonl", name="sums", scorer="last_number", seed=1)


CHOICES = [{"question": f"{i} + 1?", "answer": "b", "choices": [str(i), str(i + 1), 99]} for i in range(6)]


def every(questions: Questions) -> list[Sample]:
    """All samples in the order of the file."""
    found = [sample for samples in questions.samples.values() for sample in samples]
    return sorted(found, key=lambda sample: int(sample.id.removeprefix("line ")))


@pytest.mark.parametrize(("answer", "chosen"), [("B", "2"), (" b ", "2"), ("2", "2"), (2, "2"), ("C", "B"), ("A", "1")])
def test_the_answer_to_a_choice_is_its_text_or_else_its_letter(tmp_path: Path, answer: Any, chosen: str) -> None:
    line = {"question": "a", "answer": answer, "choices": ["1", "2", "B"]}
    choices = ["1", "2", "B"] if answer != "B" else ["1", "2", "3"]
    found = read(tmp_path, [*CHOICES, line | {"choices": choices}], scorer="acc")
    assert every(found)[-1] == Sample("line 7", "a", chosen, None, tuple(choices))


def test_choices_that_are_weighed_ask_for_no_language(tmp_path: Path) -> None:
    found = read(tmp_path, CHOICES, scorer="acc_norm", language="ja")
    assert not found.language_gate and found.scorer == "acc_norm@1"
    assert {sample.language for sample in every(found)} == {"ja"}


def test_choices_are_needed_where_they_are_weighed(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"line 1 of sums.jsonl has no choices; acc needs 2 to 26"):
        read(tmp_path, GOOD, scorer="acc")


def test_the_same_question_with_other_choices_is_another_question(tmp_path: Path) -> None:
    def asks(*choices: str) -> dict[str, Any]:
        return {"question": "Which is right?", "answer": "A", "choices": choices}

    assert len(every(read(tmp_path, [*CHOICES, asks("x", "y"), asks("x", "z")], scorer="acc"))) == 8
    with pytest.raises(BenchmarkError, match=r"line 8 of sums.jsonl asks the same as line 7"):
        read(tmp_path, [*CHOICES, asks("x", "y"), asks("y", "X")], scorer="acc")


def test_a_few_shot_line_is_shown_before_every_question_and_is_in_no_split(tmp_path: Path) -> None:
    shot = {"question": "1 + 1?", "answer": "1 + 1 makes 2.", "few_shot": True}
    found = read(tmp_path, [shot, *GOOD, shot | {"question": "2 + 2?", "few_shot": False, "answer": "4"}])
    assert [sample.id for sample in every(found)] == [f"line {i}" for i in range(2, 11)]
    assert found.rendered(found.take("search")[0]).startswith("1 + 1?\n1 + 1 makes 2.\n\nWhat is ")


def test_a_question_is_not_asked_of_who_was_shown_it(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"line 9 of sums.jsonl asks the same as line 1"):
        read(tmp_path, [*GOOD, GOOD[0] | {"few_shot": True}])


def test_examples_have_a_limit(tmp_path: Path) -> None:
    shots = [{"question": f"{i} {'x' * 60_000}", "answer": "1", "few_shot": True} for i in range(2)]
    with pytest.raises(BenchmarkError, match=r"have 120,\d+ characters; expected at most 100,000"):
        read(tmp_path, [*GOOD, *shots])


# CSV


def read_csv(path: Path, text: str | bytes, **options: Any) -> Questions:
    file = path / "sums.CSV"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_questions(file, **{"name": "sums", "scorer": "last_number", "seed": 1, **options})


@pytest.mark.parametrize("divider", [",", ";", "\t"])
def test_csv_is_read_like_json_lines(tmp_path: Path, divider: str) -> None:
    rows = [["question", "answer"], *([line["question"], line["answer"]] for line in GOOD)]
    found = read_csv(tmp_path, "\r\n".join(divider.join(row) for row in rows))
    assert [(s.question, s.answer) for s in every(found)] == [(line["question"], line["answer"]) for line in GOOD]
    assert [s.id for s in every(found)] == [f"line {i}" for i in range(2, 10)]


def test_csv_has_all_the_fields(tmp_path: Path) -> None:
    text = """answer, choices ,question,few_shot,language
b,x | y,"first, with
two lines",,
x,x|y|z,second,no,ja

x,x|y,third,0,
A,y|x,shown,YES,
"""
    found = read_csv(tmp_path, "\ufeff" + text, scorer="acc")
    assert every(found) == [
        Sample("line 2", "first, with\ntwo lines", "y", None, ("x", "y")),
        Sample("line 4", "second", "x", "ja", ("x", "y", "z")),
        Sample("line 6", "third", "x", None, ("x", "y")),
    ]
    assert found.shots == (Sample("line 7", "shown", "y", None, ("y", "x")),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1 of sums.CSV names the columns ; expected question and answer"),
        ("question\n1", "names the columns question; expected question and answer"),
        ("question,answer,answer\n", "and each column once"),
        ("question,answer,note\n", "line 1 of sums.CSV has the field note"),
        ("question,answer\n1?,1\n2?,3,4\n", "line 3 of sums.CSV has 3 columns; expected 2: question, answer"),
        ('question,answer\n1?,1\n"2?,2\n', "line 3 of sums.CSV cannot be read as CSV: unexpected end of data"),
        ('question,answer\n"a"b,1\n', "line 2 of sums.CSV cannot be read as CSV"),
        ("question,answer\n1?,1\r2?,2\r", "line 2 of sums.CSV cannot be read as CSV"),
        ("question,answer\n1?,\n", "the answer of line 2 of sums.CSV is ''; last_number expects a number"),
        ("question,answer\n,1\n", "question in line 2 of sums.CSV is empty"),
        ("question,answer,few_shot\n1?,1,maybe\n", "few_shot in line 2 of sums.CSV is 'maybe'; expected yes, no or"),
        ("question,answer,language\n1?,1,xx\n", "the language of line 2 of sums.CSV is 'xx'"),
        (b"question,answer\n\xff,1\n", "line 2 of sums.CSV is not UTF-8"),
        ("question,answer\n\0,1\n", "line 2 of sums.CSV holds a character that is no text"),
        ("question,answer\n" + "a" * 200_000 + ",1\n", "line 2 of sums.CSV cannot be read as CSV: field larger than"),
        ('"' + "a" * 200_000, "line 1 of sums.CSV cannot be read as CSV: field larger than"),
        ("question,answer\n1?,1\n", "sums.CSV has 1 questions; expected at least 3"),
    ],
)
def test_a_row_that_cannot_be_read_is_refused_by_number(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(BenchmarkError, match=message):
        read_csv(tmp_path, text)


# Fuzz


PIECES = [
    *(
        '{"question": ',
        '"answer": ',
        '"choices": ',
        '"language": "ja"',
        '"few_shot": true',
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
    ),
    *(
        '"',
        "'",
        "\\",
        "\\u0000",
        "\\ud800",
        "1",
        "-0",
        "1e400",
        "NaN",
        "null",
        "true",
        "question",
        "answer",
        "東京",
        "|",
        ";",
    ),
    *("\n", "\r", "\t", " ", "\0", "\ufeff", "\u2028", "a" * 50, "[" * 50, "A", "B"),
]


def fuzzed(rng: Random) -> bytes:
    """A line that is good but for one change, or made of pieces."""
    if rng.random() < 0.4:
        answer = rng.choice([1, "A", "b", None, [], {}])
        line = json.dumps({"question": str(rng.random()), "answer": answer, "choices": ["b", "c"]})
        at = rng.randrange(len(line))
        return (line[:at] + rng.choice(PIECES) + line[at + rng.randrange(3) :]).encode("utf-8", "replace")
    return "".join(rng.choices(PIECES, k=rng.randrange(12))).encode("utf-8", "replace")


@pytest.fixture
def every_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines after the first bad ones are looked at too."""
    monkeypatch.setattr("merging.benchmarks.question_files.MAX_PROBLEMS", 10**9)


@pytest.mark.usefixtures("every_problem")
@pytest.mark.parametrize("scorer", ["last_number", "acc", "rougeL"])
def test_no_line_raises_anything_but_a_refusal(tmp_path: Path, scorer: str) -> None:
    """1,000 lines each; 100,000 under `slow`. A csv file ends at its first stray quote, so there are more of them."""
    refuse_or_read(tmp_path / "q.jsonl", scorer, n_files=5, n_lines=200)
    refuse_or_read(tmp_path / "q.csv", scorer, n_files=50, n_lines=20)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("every_problem")
def test_a_hundred_thousand_lines_raise_nothing_but_refusals(tmp_path: Path) -> None:
    refuse_or_read(tmp_path / "q.jsonl", "exact_match", n_files=250, n_lines=200)
    refuse_or_read(tmp_path / "q.csv", "exact_match", n_files=2500, n_lines=20)


def refuse_or_read(file: Path, scorer: str, n_files: int, n_lines: int) -> None:
    rng, header = Random(n_lines), b"question,answer,choices,language,few_shot\n" if file.suffix == ".csv" else b""
    for _ in range(n_files):
        noise = rng.randbytes(rng.randrange(40))
        file.write_bytes(header + b"\n".join([*(fuzzed(rng) for _ in range(n_lines)), noise]))
        try:
            parse(file, scorers.get(scorer))
        except BenchmarkError as error:
            assert file.name in str(error)


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_file_of_a_hundred_thousand_questions_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, [{"question": f"What is {i} + 1?", "answer": i + 1} for i in range(100_000)])
    assert len(found.take("search")) == 50_000
