"""CMA-ES: the paper's settings, and that it finds what it looks for."""

from __future__ import annotations

import statistics

import pytest

from merging.errors import GenomeError
from merging.search import Axes, default_population, searches
from merging.spaces import Genome

CMA_ES = searches.get("cma_es")


def sphere(genome: Genome) -> float:
    return -sum((gene - 0.8) ** 2 for gene in genome)


def best_after(kind: str, generations: int, seed: int) -> float:
    search, found = searches.get(kind).start(Axes.plain(6), seed), []
    for generation in range(generations):
        genomes = search.ask(generation)
        found += [sphere(genome) for genome in genomes]
        search.tell(genomes, found[-len(genomes) :])
    return max(found)


@pytest.mark.parametrize(("n_genes", "size"), [(2, 6), (6, 9), (12, 11), (100, 17)])
def test_default_populations_are_the_tutorial_s(n_genes: int, size: int) -> None:
    assert default_population(n_genes) == size


def test_it_starts_in_the_middle_with_the_paper_s_step() -> None:
    """1,000 genomes of 10 genes: the mean of a gene is 0.5 +- 5 x (1/6) / sqrt(1,000), its deviation 1/6 to 10 %."""
    genomes = CMA_ES.start(Axes.plain(10), 1, population_size=1000).ask(0)
    assert CMA_ES.start(Axes.plain(10), 1).sigma == pytest.approx(1 / 6)
    for genes in zip(*genomes, strict=True):
        assert statistics.fmean(genes) == pytest.approx(0.5, abs=0.027)
        assert statistics.stdev(genes) == pytest.approx(1 / 6, rel=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_it_finds_a_peak_that_random_search_does_not(seed: int) -> None:
    assert best_after("cma_es", 60, seed) > -1e-3 > best_after("random", 60, seed)


@pytest.mark.parametrize("seed", range(3))
def test_it_reaches_a_peak_on_the_border(seed: int) -> None:
    search = CMA_ES.start(Axes.plain(4), seed)
    for generation in range(80):
        genomes = search.ask(generation)
        search.tell(genomes, [sum(genome) for genome in genomes])
    assert max(sum(genome) for genome in search.ask(80)) > 3.95


def test_only_the_order_of_fitnesses_matters() -> None:
    one, other = CMA_ES.start(Axes.plain(4), 1), CMA_ES.start(Axes.plain(4), 1)
    for generation in range(10):
        genomes = one.ask(generation)
        assert other.ask(generation) == genomes
        one.tell(genomes, [sphere(genome) for genome in genomes])
        other.tell(genomes, [1e300 * sphere(genome) for genome in genomes])


@pytest.mark.parametrize(
    ("n_genes", "size", "message"),
    [(1, None, "CMA-ES needs at least 2 genes, found 1: choose finer layer groups"), (4, 3, "CMA-ES needs at least 4")],
)
def test_sizes_that_it_cannot_work_with_are_refused(n_genes: int, size: int | None, message: str) -> None:
    with pytest.raises(GenomeError, match=message):
        CMA_ES.start(Axes.plain(n_genes), 1, size)


def test_random_search_is_uniform() -> None:
    """2,000 draws: mean 1/2 and variance 1/12, each to five of its standard deviations; the seed is fixed."""
    (genes,) = zip(*searches.get("random").start(Axes.plain(1), 1, population_size=2000).ask(0), strict=True)
    assert statistics.fmean(genes) == pytest.approx(0.5, abs=5 * 0.289 / 2000**0.5)
    assert statistics.variance(genes) == pytest.approx(1 / 12, abs=5 * 0.0745 / 2000**0.5)
