"""The whole loop without infrastructure: ask, build, score, tell. For notebooks, tests and measurements.

Runs of the product do the same through their ledger; candidate for candidate both come to the same populations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from merging.errors import EvaluationError, RecipeError, TensorError
from merging.evaluation import Evaluation
from merging.fitness import fitness
from merging.recipes import Recipe
from merging.search import searches
from merging.spaces import Genome, Space
from merging.steady import ahead, n_asked

Score = Callable[[Recipe], Evaluation]
"""Scores a recipe on a split that a search may see, always on the same samples."""


@dataclass(frozen=True)
class Candidate:
    """A scored genome. One that could not be scored has a `failure`, a sentence, and neither evaluation nor fitness."""

    generation: int
    index: int
    genome: Genome
    recipe: Recipe
    evaluation: Evaluation | None
    fitness: float | None
    failure: str | None

    @property
    def name(self) -> str:
        return f"g{self.generation}.{self.index}"


def evolve(
    space: Space,
    search: str,
    score: Score,
    budget: int,
    seed: int,
    population_size: int | None = None,
    steady: bool = False,
) -> Iterator[Candidate]:
    """`budget` candidates, each as soon as it is scored; the last generation is cut to the budget. `steady`: see `merging.steady`.

    A failed candidate is told as the worst of those that are told with it. EvaluationError when all of these fail: a search
    learns nothing from it, and what failed is not the recipes.
    """
    if budget < 1:
        raise EvaluationError(f"the budget is {budget} candidates; expected at least 1")
    running = searches.get(search).start(space.axes, seed, population_size)
    size = running.population_size
    n_ahead = ahead(size) if steady else 0
    n_left, generation = budget, 0
    scored: list[Candidate] = []
    while n_left > 0:
        genomes = running.ask(generation, n_asked(size, n_ahead, generation))[:n_left]
        for index, genome in enumerate(genomes):
            scored.append(_candidate(generation, index, genome, space.decode(genome), score))
            yield scored[-1]
        n_left, generation = n_left - len(genomes), generation + 1
        due, scored = (scored[:size], scored[size:]) if n_left > 0 else (scored, [])
        told = told_fitnesses([candidate.fitness for candidate in due])
        if n_left > 0:
            running.tell([candidate.genome for candidate in due], told)


def told_fitnesses(fitnesses: Iterable[float | None]) -> list[float]:
    """What a search is told of a generation: failed candidates, None, are as bad as the worst that did not fail."""
    found = list(fitnesses)
    scored = [fitness for fitness in found if fitness is not None]
    if not scored:
        raise EvaluationError(
            f"all {len(found)} candidates of a generation failed: something other than the recipes is wrong"
        )
    return [min(scored) if fitness is None else fitness for fitness in found]


def best(candidates: Iterable[Candidate]) -> Candidate:
    """The highest fitness; the earliest among equals. EvaluationError when nothing was scored.

    A candidate whose answers cannot be trusted is best only when no other was scored.
    """
    scored = [(_standing(candidate), candidate) for candidate in candidates if candidate.fitness is not None]
    if not scored:
        raise EvaluationError("no candidate was scored, so there is no best one")
    return max(scored, key=lambda pair: pair[0])[1]


def _standing(candidate: Candidate) -> tuple[bool, float]:
    is_bad = candidate.evaluation is not None and candidate.evaluation.health.is_bad
    return not is_bad, candidate.fitness or 0.0


def _candidate(generation: int, index: int, genome: Genome, recipe: Recipe, score: Score) -> Candidate:
    try:
        evaluation = score(recipe)
        return Candidate(generation, index, genome, recipe, evaluation, fitness(evaluation), None)
    except (RecipeError, TensorError, EvaluationError) as error:
        return Candidate(generation, index, genome, recipe, None, None, str(error))
