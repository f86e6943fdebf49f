"""Benchmarks: splits that share nothing, prompts, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from merging.benchmarks import SPLITS, Questions, Sample
from merging.benchmarks.questions import split_digest
from merging.benchmarks.samples import normalised
from merging.errors import BenchmarkError, UnknownNameError


def sample(i: int, split: str = "search", **changes: Any) -> Sample:
    return replace(Sample(f"{split}-{i}", f"What is {i} in {split}?", str(i), "ja"), **changes)


SHOT = Sample("shot", "One?", "it is 1")


def benchmark(**changes: Any) -> Questions:
    samples = {split: tuple(sample(i, split) for i in range(4)) for split in SPLITS}
    return replace(Questions("b", "B", "last_number", True, 8, "Q: {question}\nA:", ("\n",), samples), **changes)


def with_search(*samples: Sample) -> Questions:
    return benchmark(samples=dict(benchmark().samples) | {"search": samples})


def test_a_prompt_takes_any_question_as_it_is() -> None:
    assert benchmark().rendered(sample(1, question="{x} {question} %s")) == "Q: {x} {question} %s\nA:"


def test_take_gives_the_first_in_the_frozen_order() -> None:
    assert [s.id for s in benchmark().take("final", 2)] == ["final-0", "final-1"]
    assert len(benchmark().take("validation")) == 4


@pytest.mark.parametrize("n", [0, -1, 5])
def test_more_samples_than_there_are_cannot_be_taken(n: int) -> None:
    with pytest.raises(BenchmarkError, match=f"{n} samples of the search split of b; expected 1 to 4"):
        benchmark().take("search", n)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": "no place"}, "expected {question} in it exactly once"),
        ({"prompt": "{question}{question}"}, "exactly once"),
        ({"max_new_tokens": 0}, "allows 0 new tokens"),
        ({"max_new_tokens": 10**6}, "expected 1 to 8192"),
        ({"stop": ("",)}, "empty stop string"),
        ({"samples": {}}, "has the splits"),
        ({"samples": dict.fromkeys(SPLITS, ())}, "the search split of b has no samples"),
    ],
)
def test_a_benchmark_that_cannot_be_asked_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchmarkError, match=message):
        benchmark(**changes)


def test_an_unknown_scorer_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"no scorer named 'last_numbr'. Did you mean last_number"):
        benchmark(scorer_name="last_numbr")


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ((sample(1), sample(2, id="search-1")), "sample search-1 comes twice in b: in search and search"),
        ((sample(1, id="final-0"),), "sample final-0 comes twice in b: in search and final"),
        (
            (sample(1), sample(2, question="what is　１ in SEARCH?")),
            "samples search-1 and search-2 of b ask the same question",
        ),
        ((sample(1, question="What is 2  in final?"),), "samples search-1 and final-2 of b ask the same question"),
        ((sample(1, answer="one"),), "the answer of sample search-1 of b is 'one'"),
        ((sample(1, language=None),), "has no language, which its language gate needs"),
    ],
)
def test_samples_that_would_spoil_a_score_are_refused(samples: tuple[Sample, ...], message: str) -> None:
    with pytest.raises(BenchmarkError, match=message):
        with_search(*samples)


def test_without_a_gate_no_language_is_needed() -> None:
    samples = {split: (sample(1, split, language=None),) for split in SPLITS}
    assert benchmark(language_gate=False, samples=samples).take("search")[0].language is None


def test_the_digest_is_of_everything_that_a_score_depends_on() -> None:
    reordered = {split: found[::-1] for split, found in benchmark().samples.items()}
    others = [
        benchmark(prompt="{question}"),
        benchmark(stop=()),
        benchmark(max_new_tokens=9),
        benchmark(scorer_name="exact_match"),
        benchmark(language_gate=False),
        benchmark(samples=reordered),
        benchmark(shots=(SHOT,)),
        benchmark(as_chat=True),
        benchmark(scorer_name="regex", pattern="a"),
        benchmark(scorer_name="regex", pattern="b"),
    ]
    assert len({benchmark().digest, *(other.digest for other in others)}) == len(others) + 1
    assert benchmark(name="other", title="Other").digest == benchmark().digest


def test_the_digest_is_of_the_gates_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    before, ungated = benchmark().digest, benchmark(language_gate=False).digest
    monkeypatch.setattr("merging.benchmarks.questions.MIN_PROBABILITY", 0.9)
    assert benchmark().digest != before
    assert benchmark(language_gate=False).digest == ungated


def test_a_sealed_split_changes_no_digest_and_cannot_be_taken() -> None:
    whole = benchmark()
    opened = {split: found for split, found in whole.samples.items() if split != "final"}
    sealed = benchmark(samples=opened, sealed={"final": split_digest(whole.samples["final"])})
    assert sealed.digest == whole.digest and sealed.take("search") == whole.take("search")
    with pytest.raises(BenchmarkError, match="the final split of b is sealed here"):
        sealed.take("final")
    with pytest.raises(BenchmarkError, match="has the splits"):
        benchmark(sealed={"final": "sha256:"})


def test_shots_are_asked_the_same_way_and_answered_before_the_question() -> None:
    """A shot may be answered by a worked solution, which is no answer that could be scored."""
    found = benchmark(shots=(SHOT, replace(SHOT, id="s2", question="And 2?", answer="two")))
    assert found.rendered(sample(1)) == "Q: One?\nA:it is 1\n\nQ: And 2?\nA:two\n\nQ: What is 1 in search?\nA:"


@pytest.mark.parametrize(
    ("shot", "message"),
    [
        ({"question": "what is 1 in SEARCH?"}, "samples shot and search-1 of b ask the same question"),
        ({"id": "final-0"}, "sample final-0 comes twice in b: in shots and final"),
        ({"choices": ("a", "b")}, "the answer of shot shot of b is 'it is 1'; expected one of its choices"),
        ({"answer": "x" * 100_000}, "expected at most 100,000"),
    ],
)
def test_a_shot_that_would_spoil_a_score_is_refused(shot: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchmarkError, match=message):
        benchmark(shots=(replace(SHOT, **shot),))


def test_examples_are_limited_as_they_are_shown() -> None:
    shots = tuple(replace(SHOT, id=f"s{i}", question=f"And {i}?") for i in range(20))
    with pytest.raises(BenchmarkError, match=r"have 200,\d+ characters; expected at most 100,000"):
        benchmark(shots=shots, prompt="x" * 10_000 + "{question}")


def test_a_language_cannot_be_asked_of_given_choices() -> None:
    samples = {split: (sample(1, split, choices=("1", "2")),) for split in SPLITS}
    assert benchmark(samples=samples, scorer_name="acc", language_gate=False).scorer == "acc@1"
    with pytest.raises(BenchmarkError, match="a language gate needs a scorer that reads completions"):
        benchmark(samples=samples, scorer_name="acc")


def test_choices_may_be_offered_to_a_scorer_that_reads() -> None:
    samples = {split: (sample(1, split, choices=("1", "2")),) for split in SPLITS}
    assert benchmark(samples=samples).take("search")[0].choices == ("1", "2")


def test_questions_that_read_the_same_are_the_same() -> None:
    assert normalised("  Ｗhat\u3000is\nIT ") == normalised("what is it") != normalised("what is it?")
