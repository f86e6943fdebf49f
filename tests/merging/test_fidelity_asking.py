"""A model is asked by a plan: only what the plan says, in blocks, and the search is told the plan's estimates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from merging.benchmarks import Questions, Sample
from merging.engines import Completion, Likelihood, Progress
from merging.errors import EvaluationError
from merging.evaluation import evaluate
from merging.fidelity import History, Part, Plan, Pool, Scored, fidelities
from merging.fidelity.asking import answers_of, evaluate_by
from tests.merging.fidelity_histories import answers

POOL = Pool((Part(30, 1.0), Part(10, 2.0)))


def sums(name: str, language: str | None) -> Questions:
    samples = {
        split: tuple(Sample(f"{name} {split} {i}", f"{name} {split} {i} + 0 = ?", str(i), language) for i in range(40))
        for split in ("search", "validation", "final")
    }
    return Questions(name, name, "last_number", language is not None, 8, "{question}\n", (), samples)  # type: ignore[arg-type]


BENCHMARKS = (sums("plain", None), sums("gated", "ja"))


class Adder:
    """Answers in Japanese; right below a limit. Remembers how many prompts each call had."""

    def __init__(self, limit: int) -> None:
        self.limit, self.sizes = limit, []  # type: ignore[var-annotated]

    def complete(
        self, prompts: Sequence[str], max_new_tokens: int, stop: Any, progress: Progress | None, decided: Any
    ) -> list[Completion]:
        self.sizes.append(len(prompts))
        if progress:
            progress(len(prompts), len(prompts))
        numbers = [int(prompt.split()[2]) for prompt in prompts]
        return [Completion(f"答えは{n if n < self.limit else n + 1}個です。", 3, True) for n in numbers]

    def likelihoods(self, pairs: Sequence[tuple[str, str]], *_: Any) -> list[Likelihood]:
        raise NotImplementedError

    def as_chat(self, question: str) -> str:
        raise NotImplementedError


def racing() -> Plan:
    """A race against a model that gets everything right."""
    perfect = answers([1.0] * 40, languages=[1.0] * 40)
    perfect = replace(perfect, in_language=(None,) * 30 + (1.0,) * 10)
    return fidelities.get("racing").plan(POOL, History((), ((Scored(perfect, 1.0),),)), {"block": 8}, 0, 1)


def test_asking_in_full_is_an_evaluation_of_each_benchmark() -> None:
    plan = fidelities.get("full").plan(POOL, History(), {}, 0, 0)
    found = evaluate_by(plan, Adder(7), BENCHMARKS)
    for benchmark, part, told in zip(BENCHMARKS, POOL.parts, found.evaluations, strict=True):
        direct = evaluate(Adder(7), benchmark, "search", part.n)
        seconds = [
            (outcome.seconds, other.seconds) for outcome, other in zip(told.outcomes, direct.outcomes, strict=True)
        ]
        assert len(seconds) == part.n and (told.mean, told.low, told.in_language) == (
            direct.mean,
            direct.low,
            direct.in_language,
        )


def test_a_stopped_candidate_is_asked_no_more_and_told_as_an_estimate() -> None:
    model, done = Adder(0), []
    found = evaluate_by(racing(), model, BENCHMARKS, lambda stage, n, of: done.append((stage, n, of)))
    n = len(found.answers)
    assert n == sum(model.sizes) < 40 and max(model.sizes) <= 8
    assert [len(told.outcomes) for told in found.evaluations] == [estimate.n for estimate in found.estimates]
    assert all(
        estimate.is_estimate and told.mean == estimate.mean
        for told, estimate in zip(found.evaluations, found.estimates, strict=True)
    )
    assert found.evaluations[1].in_language == 1.0 and done == sorted(done) and done[-1] == ("evaluate", n, 40)


def test_stored_outcomes_are_the_answers_again() -> None:
    found = evaluate_by(racing(), Adder(3), BENCHMARKS)
    again = answers_of(POOL, BENCHMARKS, [told.outcomes for told in found.evaluations])
    assert again.at(found.answers.positions) == found.answers


def test_outcomes_of_other_samples_are_refused() -> None:
    (outcome,) = evaluate(Adder(3), BENCHMARKS[0], "search", positions=[35]).outcomes
    with pytest.raises(EvaluationError, match="none of the 30 search samples of plain"):
        answers_of(POOL, BENCHMARKS, [[outcome], []])
