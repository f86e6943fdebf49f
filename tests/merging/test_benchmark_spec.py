"""What a run keeps of a benchmark: enough to find the same samples again, and to notice when they are not the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from merging.benchmarks import BenchmarkSpec, QuestionFile, Questions, benchmarks
from merging.benchmarks.sealed import new_key, seal
from merging.errors import BenchmarkError, MergingError, UnknownNameError


@pytest.fixture
def file(tmp_path: Path) -> QuestionFile:
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(json.dumps({"question": f"q{i}", "answer": i}) + "\n" for i in range(9)))
    return QuestionFile(str(path), "last_number", seed=3, stop=("\n",), prompt="{question} ")


def test_a_file_comes_back_from_json(file: QuestionFile) -> None:
    spec = BenchmarkSpec.of_file("sums", file)
    again = BenchmarkSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec and again.load().digest == spec.digest and again.load().name == "sums"


@pytest.mark.parametrize("name", benchmarks.names())
def test_a_built_in_benchmark_comes_back_from_json(name: str) -> None:
    spec = BenchmarkSpec.of_builtin(name)
    assert BenchmarkSpec.from_json(spec.to_json()).load().digest == spec.digest


def test_samples_that_changed_are_noticed(file: QuestionFile) -> None:
    spec = BenchmarkSpec.of_file("sums", file)
    with Path(file.path).open("a") as opened:
        opened.write('{"question": "one more", "answer": 1}\n')
    with pytest.raises(BenchmarkError, match=r"the samples of sums, .*, have changed since it was chosen"):
        spec.load()


def test_a_path_must_be_absolute() -> None:
    with pytest.raises(BenchmarkError, match="expected an absolute path"):
        BenchmarkSpec.of_file("sums", QuestionFile("sums.jsonl", "last_number", 0))


def test_an_unknown_benchmark_is_named() -> None:
    with pytest.raises(UnknownNameError, match=r"no benchmark named 'japanese-sum'. Did you mean japanese-sums"):
        BenchmarkSpec.of_builtin("japanese-sum")


def test_json_of_another_shape_is_refused(file: QuestionFile) -> None:
    value = BenchmarkSpec.of_file("sums", file).to_json()
    with pytest.raises(BenchmarkError, match="the benchmark lacks digest"):
        BenchmarkSpec.from_json({"name": "x", "file": None})
    with pytest.raises(BenchmarkError, match="the benchmark's file lacks"):
        BenchmarkSpec.from_json(value | {"file": {"path": "/x"}})


@pytest.fixture
def key() -> str:
    return new_key()


@pytest.fixture
def questions(file: QuestionFile) -> Questions:
    return file.read("sums")


@pytest.fixture
def sealed(questions: Questions, tmp_path: Path, key: str) -> BenchmarkSpec:
    return BenchmarkSpec("sums", questions.digest, sealed=seal(questions, tmp_path / "frozen", key))


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_sealed_benchmark_comes_back_from_json_with_all_but_its_final_split(
    sealed: BenchmarkSpec, questions: Questions
) -> None:
    again = BenchmarkSpec.from_json(json.loads(json.dumps(sealed.to_json())))
    found = again.load()
    assert again == sealed and found.digest == questions.digest
    assert found.take("search") == questions.take("search") and found.take("validation") == questions.take("validation")
    with pytest.raises(BenchmarkError, match="the final split of sums is sealed"):
        found.take("final")


def test_the_key_opens_the_final_split_and_nothing_keeps_it_open(
    sealed: BenchmarkSpec, questions: Questions, key: str
) -> None:
    opened = sealed.load(key)
    assert opened == questions and opened.digest == sealed.digest
    assert "final" not in sealed.load().samples


def test_another_key_is_refused(sealed: BenchmarkSpec) -> None:
    for wrong in (new_key(), "", "no key at all"):
        with pytest.raises(BenchmarkError, match="the final split of sums does not open with this key"):
            sealed.load(wrong)


def test_neither_the_folder_nor_the_spec_tells_a_final_question_or_the_key(
    sealed: BenchmarkSpec, questions: Questions, key: str, tmp_path: Path
) -> None:
    said = b"".join(contents(tmp_path / "frozen").values()) + json.dumps(sealed.to_json()).encode()
    assert key.encode() not in said
    assert [sample.id for sample in questions.take("final") if f'"{sample.question}"'.encode() in said] == []


def test_how_many_samples_a_sealed_split_holds_is_known_without_its_key(sealed: BenchmarkSpec) -> None:
    assert sealed.sizes() == {"search": 5, "validation": 2, "final": 2}


@pytest.mark.parametrize("name", ["search.jsonl", "validation.jsonl", "shots.jsonl", "asked.json", "final.sealed"])
def test_a_sealed_folder_that_is_damaged_is_noticed(sealed: BenchmarkSpec, key: str, tmp_path: Path, name: str) -> None:
    path = tmp_path / "frozen" / name
    whole = path.read_bytes()
    for damaged in (whole[:-9] + b"}\n" if whole else b"{}\n", b"\xff\n", b"[" * 100_000 + b"\n"):
        path.write_bytes(damaged)
        with pytest.raises(BenchmarkError):
            sealed.load(key)
    path.unlink()
    with pytest.raises(BenchmarkError, match=f"{name} of the benchmark sums cannot be read"):
        sealed.load(key)


def test_what_is_frozen_is_not_frozen_over(
    sealed: BenchmarkSpec, questions: Questions, tmp_path: Path, key: str
) -> None:
    with pytest.raises(MergingError, match="exists already"):
        seal(questions, tmp_path / "frozen", new_key())
    assert sealed.load(key) == questions
    assert sorted(path.name for path in tmp_path.iterdir()) == ["frozen", "sums.jsonl"]
