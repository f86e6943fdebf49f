"""From completions to outcomes, shares and intervals; from an evaluation to a fitness."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from merging.benchmarks import Benchmark, Sample, Scorer, scorers
from merging.engines import Completion, Progress
from merging.errors import BenchmarkError, EvaluationError
from merging.evaluation import Evaluation, SampleOutcome, evaluate
from merging.fitness import fitness
from merging.registry import Registry

JAPANESE, ENGLISH = "答えは{}個です。", "The answer is {}."


def benchmark(n: int = 4, gate: bool = True) -> Benchmark:
    language = "ja" if gate else None
    samples = {
        split: tuple(Sample(f"{split} {i}", f"{split}: {i} + 1 = ?", str(i + 1), language) for i in range(n))
        for split in ("search", "validation", "final")
    }
    return Benchmark("sums", "Sums", "last_number", gate, 8, "{question}\n", (), samples)  # type: ignore[arg-type]


class Speaker:
    """A `TextModel` that says what it was given, and remembers what it was asked."""

    def __init__(self, *texts: str) -> None:
        self.texts, self.asked = texts, []  # type: ignore[var-annotated]

    def complete(
        self, prompts: Sequence[str], max_new_tokens: int, stop: Sequence[str] = (), progress: Progress | None = None
    ) -> list[Completion]:
        self.asked += [*prompts]
        if progress:
            progress(len(prompts), len(prompts))
        return [Completion(text, 3, True) for text in self.texts]


def test_every_kind_of_outcome_is_told_apart() -> None:
    model = Speaker(JAPANESE.format(1), ENGLISH.format(2), JAPANESE.format(9), "")
    found = evaluate(model, benchmark(), "search")
    assert [(o.right, o.language, o.score, o.extracted) for o in found.outcomes] == [
        (True, "ja", 1, "1"),
        (True, "en", 0, "2"),
        (False, "ja", 0, "9"),
        (False, None, 0, None),
    ]
    assert (found.mean, found.right, found.in_language, found.n) == (0.25, 0.5, 0.5, 4)
    assert found.low < 0.25 < found.high
    assert (found.benchmark, found.scorer, found.split) == ("sums", "last_number@1", "search")


def test_without_a_gate_right_is_enough_and_no_language_is_asked() -> None:
    found = evaluate(Speaker(ENGLISH.format(1), JAPANESE.format(2)), benchmark(2, gate=False), "search")
    assert (found.mean, found.in_language) == (1, None)
    assert {outcome.language for outcome in found.outcomes} == {None}


def test_the_first_n_samples_are_asked_in_order() -> None:
    model = Speaker("1", "2")
    found = evaluate(model, benchmark(), "validation", n=2)
    assert model.asked == ["validation: 0 + 1 = ?\n", "validation: 1 + 1 = ?\n"] and found.n == 2
    with pytest.raises(BenchmarkError, match="expected 1 to 4"):
        evaluate(model, benchmark(), "search", n=5)


def test_progress_is_told_by_stage() -> None:
    heard: list[tuple[Any, ...]] = []
    evaluate(Speaker("1"), benchmark(1), "search", progress=lambda *told: heard.append(told))
    assert heard == [("evaluate", 1, 1)]


def test_a_scorer_that_raises_scores_that_sample_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(found: str, answer: str) -> bool:
        raise ValueError("no idea")

    broken: Registry[Scorer] = Registry("scorer")
    broken.register("last_number", replace(scorers.get("last_number"), is_right=fail))
    monkeypatch.setattr("merging.evaluation.scorers", broken)
    found = evaluate(Speaker(JAPANESE.format(1), ""), benchmark(2), "search")
    assert [(o.score, o.error) for o in found.outcomes] == [(0, "ValueError: no idea"), (0, None)]


def test_what_no_database_takes_is_replaced() -> None:
    found = evaluate(Speaker("a\0b\ud800c 1"), benchmark(1), "search")
    assert found.outcomes[0].completion == "a\ufffdb\ufffdc 1"


def test_a_model_that_loses_prompts_is_refused() -> None:
    with pytest.raises(EvaluationError, match="1 completions for 4 samples of sums"):
        evaluate(Speaker("1"), benchmark(), "search")


def evaluation(**changes: Any) -> Evaluation:
    outcome = SampleOutcome("a", "答え 1", "1", "ja", True, 1.0, 4, None)
    return replace(
        Evaluation("sums", "last_number@1", "search", 1, 0.3, 0.1, 0.5, 0.6, 0.4, 1.5, (outcome,)), **changes
    )


def test_json_and_back_is_the_same_evaluation() -> None:
    assert Evaluation.from_json(json.loads(json.dumps(evaluation().to_json()))) == evaluation()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "train"}, "the split is 'train'"),
        ({"mean": None}, "mean is None"),
        ({"outcomes": [{}]}, r"outcomes\[0\] lacks"),
        ({"more": 1}, "has unknown more"),
    ],
)
def test_json_of_another_shape_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        Evaluation.from_json(evaluation().to_json() | changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 0.3 + 0.1 * 0.4),
        ({"right": 0.0}, 0.3),
        ({"in_language": None}, 0.3),
        ({"mean": 1.0, "right": 1.0, "in_language": 1.0}, 1.1),
        ({"split": "validation"}, 0.34),
    ],
)
def test_fitness_is_the_mean_and_a_tenth_of_the_weaker_condition(changes: dict[str, Any], expected: float) -> None:
    assert fitness(evaluation(**changes)) == pytest.approx(expected, abs=1e-15)


def test_neither_condition_alone_makes_a_candidate_fitter() -> None:
    """The trap that a sum would be: right in English beats nothing."""
    nothing, right_only, half = (
        fitness(evaluation(mean=0.0, right=right, in_language=japanese))
        for right, japanese in [(0, 0), (0.96, 0), (0.2, 0.2)]
    )
    assert nothing == right_only < half


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "final"}, "the final split has no fitness"),
        ({"n": 0}, "on 0 samples has no fitness"),
        ({"mean": float("nan")}, "is nan; expected a finite number"),
        ({"right": float("inf"), "in_language": float("inf")}, "is inf; expected a finite number"),
    ],
)
def test_what_is_no_fitness_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        fitness(evaluation(**changes))
