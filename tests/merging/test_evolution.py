"""The loop: budgets, failures and the same candidates for the same seed."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from merging.errors import EvaluationError, MergingError, TensorError
from merging.evaluation import Evaluation
from merging.evolution import Candidate, best, evolve, told_fitnesses
from merging.genomes import GenomeSpace, parameter_space
from merging.health import Health
from merging.recipes import Parent, Recipe
from merging.search import searches

ONE, TWO = (Parent(name, f"/models/{name}", f"sha256:{name}") for name in ("one", "two"))


def space() -> GenomeSpace:
    return parameter_space(
        method="linear", parents=(ONE, TWO), base=None, n_layers=2, groups="block", settings=(), seed=0, dtype="float32"
    )


def score(recipe: Recipe) -> Evaluation:
    """Best where every weight is 0.8."""
    distance = sum((values["weight"] - 0.8) ** 2 for row in recipe.values for values in row)
    return Evaluation("b", "last_number@1", "search", 1, 1 / (1 + distance), 0, 1, 0, None, Health(1), 0, ())


def evolved(budget: int, seed: int = 1, search: str = "cma_es") -> list[Candidate]:
    return list(evolve(space(), search, score, budget, seed))


@pytest.mark.parametrize("search", [kind.name for kind in searches if kind.suits(space().axes)])
@pytest.mark.parametrize("budget", [1, 9, 10, 11, 25])
def test_exactly_the_budget_is_scored(search: str, budget: int) -> None:
    found = evolved(budget, search=search)
    assert [candidate.name for candidate in found] == [f"g{i // 10}.{i % 10}" for i in range(budget)]


def test_the_same_seed_gives_the_same_candidates() -> None:
    assert evolved(25) == evolved(25) != evolved(25, seed=2)


def test_a_longer_run_begins_like_a_shorter_one() -> None:
    assert evolved(40)[:25] == evolved(25)


def test_it_improves() -> None:
    found = evolved(300)
    fitness = best(found).fitness
    assert fitness is not None and fitness > 0.99 and best(found[:10]).fitness < fitness  # type: ignore[operator]


def test_a_failed_candidate_is_told_as_the_worst_and_named() -> None:
    turns = itertools.count()

    def sometimes(recipe: Recipe) -> Evaluation:
        if next(turns) % 4 == 1:
            raise TensorError("not finite")
        return score(recipe)

    found = list(evolve(space(), "cma_es", sometimes, 20, 1))
    assert [c.failure for c in found[:3]] == [None, "not finite", None]
    assert found[1].fitness is None and found[1].evaluation is None
    assert told_fitnesses([3.0, None, 2.0]) == [3.0, 2.0, 2.0]


def test_a_generation_that_fails_as_a_whole_ends_the_loop() -> None:
    def never(recipe: Recipe) -> Evaluation:
        raise TensorError("not finite")

    with pytest.raises(EvaluationError, match="all 10 candidates of a generation failed"):
        list(evolve(space(), "cma_es", never, 20, 1))


def test_what_is_wrong_with_the_run_is_not_blamed_on_a_candidate() -> None:
    def broken(recipe: Recipe) -> Evaluation:
        raise MergingError("no such parent")

    with pytest.raises(MergingError, match="no such parent"):
        next(evolve(space(), "cma_es", broken, 20, 1))


def test_the_earliest_of_equals_is_best() -> None:
    found = [
        Candidate(0, i, (), space().origin, None, fitness, None) for i, fitness in enumerate([1.0, None, 2.0, 2.0])
    ]
    assert best(found).index == 2
    with pytest.raises(EvaluationError, match="no candidate was scored"):
        best(found[1:2])


def test_answers_that_cannot_be_trusted_are_best_only_among_themselves() -> None:
    empty = replace(score(space().origin), health=Health(2, empty=2))
    found = [Candidate(0, i, (), space().origin, evaluation, fitness, None)
             for i, (evaluation, fitness) in enumerate([(empty, 3.0), (empty, 2.0), (score(space().origin), 1.0)])]  # fmt: skip
    assert best(found).index == 2 and best(found[:2]).index == 0


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(EvaluationError, match="the budget is 0 candidates; expected at least 1"):
        next(evolve(space(), "cma_es", score, 0, 1))


@pytest.mark.parametrize("budget", [1, 15, 16, 40])
def test_in_steady_state_the_budget_is_spent_and_generations_overlap(budget: int) -> None:
    """Populations of ten, five of which are told with the next."""
    found = list(evolve(space(), "cma_es", score, budget, seed=1, steady=True))
    assert len(found) == budget
    sizes = [sum(c.generation == g for c in found) for g in range(found[-1].generation + 1)]
    assert sizes == {1: [1], 15: [15], 16: [15, 1], 40: [15, 10, 10, 5]}[budget]
    assert found == list(evolve(space(), "cma_es", score, budget, seed=1, steady=True))
