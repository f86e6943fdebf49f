"""Several benchmarks as one: weights, means with their intervals, and the fitness of one alone."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merging.benchmarks import BenchmarkSpec
from merging.errors import EvaluationError
from merging.evaluation import Evaluation
from merging.fitness import fitness
from merging.objectives import Combined, Objective, combine, combined_fitness, shares
from merging.statistics import wilson
from tests.ledger.scores import score

SPEC = BenchmarkSpec("sums", "sha256:0")
WEIGHTS = st.floats(1e-3, 1e3)


def evaluation(n_right: int, n: int, in_language: float | None = None) -> Evaluation:
    bounds = wilson(n_right, n)
    shares = {"mean": n_right / n, "right": n_right / n, "low": bounds.low, "high": bounds.high}
    return replace(score("search", 0.4), n=n, in_language=in_language, **shares)


@given(st.integers(0, 97), WEIGHTS, st.none() | st.floats(0, 1))
def test_one_benchmark_is_itself_bit_for_bit_whatever_its_weight(
    n_right: int, weight: float, in_language: float | None
) -> None:
    """So a run with one benchmark has the fitnesses, and with them the populations, that it had before there were several."""
    found = evaluation(n_right, 97, in_language)
    assert combine([found], [weight]) == Combined(found.mean, found.low, found.high)
    assert combined_fitness([found], [weight]) == fitness(found)


def test_two_benchmarks_by_hand() -> None:
    """3/4 of 0.5 and 1/4 of 0.9: 0.6; below it 0.6 - sqrt((0.75 x 0.1)**2 + (0.25 x 0.2)**2), above as much with 0.2 and 0.04."""
    found = combine([Combined(0.5, 0.4, 0.7), Combined(0.9, 0.7, 0.94)], [3.0, 1.0])
    assert found.mean == pytest.approx(0.6)
    assert found.low == pytest.approx(0.6 - math.hypot(0.075, 0.05))
    assert found.high == pytest.approx(0.6 + math.hypot(0.15, 0.01))


@given(st.lists(st.tuples(st.integers(0, 20), WEIGHTS), min_size=2, max_size=5), st.floats(0.1, 10))
def test_only_the_ratio_of_weights_counts_and_a_mean_lies_between_its_parts(
    parts: list[tuple[int, float]], factor: float
) -> None:
    found = [evaluation(n_right, 20) for n_right, _ in parts]
    weights = [weight for _, weight in parts]
    one, other = combine(found, weights), combine(found, [factor * weight for weight in weights])
    assert one.mean == pytest.approx(other.mean) and one.low == pytest.approx(other.low)
    lowest, highest = min(part.mean for part in found), max(part.mean for part in found)
    assert lowest - 1e-12 <= one.mean <= highest + 1e-12  # a rounding of the weighted sum
    assert 0 <= one.low <= one.mean + 1e-12 and one.mean - 1e-12 <= one.high <= 1
    assert math.fsum(shares(weights)) == pytest.approx(1)


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan, math.inf])
def test_a_weight_is_a_positive_number(weight: float) -> None:
    with pytest.raises(EvaluationError, match=r"the weight of sums is .*; expected a number above 0"):
        Objective(SPEC, weight, 1, 1, 1)


def test_an_objective_asks_at_least_one_sample_of_every_split() -> None:
    with pytest.raises(EvaluationError, match="0 validation samples of sums; an objective needs at least 1"):
        Objective(SPEC, 1.0, 1, 0, 1)


def test_an_objective_is_read_as_it_was_written() -> None:
    objective = Objective(SPEC, 2.5, 10, 20, 30)
    assert Objective.from_json(objective.to_json()) == objective
    assert [objective.n(split) for split in ("search", "validation", "final")] == [10, 20, 30]


@pytest.mark.parametrize("broken", [{"weight": "2"}, {"n_final": 1.5}, {"extra": 1}])
def test_what_cannot_be_an_objective_is_named(broken: dict[str, Any]) -> None:
    with pytest.raises(EvaluationError, match=f"{next(iter(broken))}"):
        Objective.from_json(Objective(SPEC, 1.0, 1, 1, 1).to_json() | broken)


def test_scores_and_weights_go_together() -> None:
    with pytest.raises(EvaluationError, match="1 scores and 2 weights"):
        combine([evaluation(1, 2)], [1.0, 2.0])


def test_the_final_split_has_no_fitness_among_several_either() -> None:
    with pytest.raises(EvaluationError, match="no search may see it"):
        combined_fitness([evaluation(1, 2), score("final", 0.4)], [1.0, 1.0])
