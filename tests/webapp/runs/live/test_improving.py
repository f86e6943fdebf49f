"""Is it still improving: what the gauge says of which scores, and how far the genomes of a generation are apart."""

from __future__ import annotations

import math
import statistics
from itertools import pairwise

import pytest
from django.contrib.auth.models import User
from pytest_django import DjangoAssertNumQueries

from merging.statistics import wilson
from tests.webapp.runs.rows import make_run
from webapp.runs.live import improving, spreads
from webapp.runs.models import Candidate, Evaluation, Generation, Run

pytestmark = pytest.mark.django_db

N = 400


def searched(owner: User, *means: float, healthy: tuple[bool, ...] = ()) -> Run:
    """A run with one candidate a generation, of these scores."""
    run = Run.objects.create(owner=owner, name="r", state="running", config={}, config_digest="", seed=1, budget=50)
    for number, mean in enumerate(means):
        generation = Generation.objects.create(run=run, number=number, population_digest="", sigma=0.5**number)
        candidate = Candidate.objects.create(
            run=run, generation=generation, kind="evolved", index=0, name=f"g{number}.0", genome=[mean, 0.5], recipe={},
            recipe_digest="",
        )  # fmt: skip
        bounds = wilson(round(mean * N), N)
        Evaluation.objects.create(
            run=run, candidate=candidate, split="search", status="done", mean=mean, low=bounds.low, high=bounds.high, n=N,
            fitness=mean, is_healthy=healthy[number] if healthy else True,
        )  # fmt: skip
    return run


@pytest.mark.parametrize(
    ("means", "verdict", "since"),
    [
        ((), "unknown", -1),
        ((0.1, 0.2, 0.3, 0.4, 0.5), "early", 0),
        ((0.1, 0.2, 0.3, 0.4, 0.5, 0.6), "yes", 0),
        ((0.1, 0.6, 0.3, 0.4, 0.5, 0.6), "yes", 4),
        ((0.6, 0.6, 0.3, 0.4, 0.5, 0.6), "no", 5),
        ((0.60, 0.1, 0.61, 0.1, 0.1, 0.1), "perhaps", 3),
        ((0.1, 0.6, 0.3, 0.4, 0.5, 0.6, 0.5), "no", 5),
    ],
)
def test_the_gauge_judges_the_best_of_the_last_five_generations(
    owner: User, means: tuple[float, ...], verdict: str, since: int
) -> None:
    found = improving.gauge(searched(owner, *means))
    assert (found.verdict, found.since) == (verdict, since)


def test_answers_that_can_be_trusted_lead_over_any_that_cannot(owner: User) -> None:
    run = searched(owner, 0.9, 0.1, 0.2, 0.1, 0.1, 0.1, 0.6, healthy=(False, *[True] * 6))
    found = improving.gauge(run)
    assert found.best is not None and (found.best.first, found.best.last) == (0.9, 0.6)
    assert found.gain is not None and math.isclose(found.gain.value, 0.5)


def test_a_step_size_below_a_quarter_of_the_first_is_narrow(owner: User) -> None:
    assert not improving.gauge(searched(owner, 0.1, 0.1, 0.1)).is_narrow  # a quarter exactly
    assert improving.gauge(searched(owner, 0.1, 0.1, 0.1, 0.1)).is_narrow


def test_a_line_goes_from_the_least_to_the_greatest() -> None:
    assert improving.line([0.2, 0.4, 0.3]) == improving.Line("M3 45L120 3L237 24", 237.0, 24.0, 0.2, 0.3)
    assert improving.line([0.2, 0.4], steps=True) == improving.Line("M3 45H237V3", 237.0, 3.0, 0.2, 0.4)
    assert improving.line([0.2]) is None


def test_genes_have_the_mean_and_deviation_of_their_generation(owner: User) -> None:
    run = make_run(owner, n_generations=2, population=5)
    generation = run.generations.get(number=1)
    genomes = list(generation.candidates.values_list("genome", flat=True))
    found = spreads.spreads([generation])[generation.pk]
    assert found.means == pytest.approx([statistics.fmean(genes) for genes in zip(*genomes, strict=True)])
    deviations = [statistics.pstdev(genes) for genes in zip(*genomes, strict=True)]
    assert found.deviations == pytest.approx(deviations)
    assert found.diversity == pytest.approx(math.sqrt(statistics.fmean(d * d for d in deviations)))


def test_genomes_are_read_once(owner: User, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    run = make_run(owner, n_generations=3, population=3)
    improving.gauge(run)
    with django_assert_num_queries(2):  # the best of each generation, and the generations
        improving.gauge(run)


def test_of_many_generations_evenly_spaced_ones_are_shown(owner: User) -> None:
    run = searched(owner)
    Generation.objects.bulk_create(Generation(run=run, number=i, population_digest="") for i in range(1000))
    numbers = [generation.number for generation in spreads.shown(run)]
    assert len(numbers) == spreads.MAX_SHOWN and (numbers[0], numbers[-1]) == (0, 999)
    assert {b - a for a, b in pairwise(numbers)} == {10, 11}
