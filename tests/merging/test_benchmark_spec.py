"""What a run keeps of a benchmark: enough to find the same samples again, and to notice when they are not the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from merging.benchmarks import BenchmarkSpec, QuestionFile, benchmarks
from merging.errors import BenchmarkError, UnknownNameError


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
    with pytest.raises(BenchmarkError, match="the samples of sums have changed since it was chosen"):
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
