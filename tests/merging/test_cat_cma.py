"""CatCMAwM: where it starts, what it learns from numbers that do not matter, and that it finds what is on and off."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import cma.transformations
import numpy as np
import pytest
from cmaes import CatCMAwM

from merging.errors import GenomeError
from merging.search import Axes, Search, searches
from merging.search.cat_cma import within_borders, without_borders
from merging.spaces import Genome

CAT_CMA = searches.get("cat_cma")
N = 12
PAIRS = Axes((0.5,) * 2 * N, tuple(range(N)), tuple((N + i, i) for i in range(N)))
"""Switches, then a number for each that matters while it is on."""


def mean_of(search: Search, gene: int, generation: int) -> float:
    """Of one population."""
    return statistics.fmean(genome[gene] for genome in search.ask(generation))


def mixed(genome: Genome) -> float:
    """Every other switch should be on, with its number at 0.7. Best: 0."""
    wrong = sum((genome[i] > 0.5) != (i % 2 == 0) for i in range(N))
    return -wrong - sum((genome[N + i] - 0.7) ** 2 for i in range(0, N, 2) if genome[i] > 0.5)


def best_after(kind: str, generations: int, seed: int) -> float:
    search, found = searches.get(kind).start(PAIRS, seed), []
    for generation in range(generations):
        genomes = search.ask(generation)
        found += [mixed(genome) for genome in genomes]
        search.tell(genomes, found[-len(genomes) :])
    return max(found)


@pytest.mark.parametrize("seed", range(3))
def test_it_finds_what_is_on_and_how_much_sooner_than_thresholds_do(seed: int) -> None:
    assert best_after("cat_cma", 100, seed) > -1e-3
    assert best_after("cat_cma", 50, seed) > best_after("cma_es", 50, seed)


def test_it_starts_where_a_threshold_would() -> None:
    """5,000 genomes: shares to five of their standard deviations, 0.011 and 0.035; the number as in CMA-ES."""
    search = CAT_CMA.start(Axes((0.5 + 2 / 6, 0.5, 0.5), (0, 1)), 1, population_size=5000)
    likely, even, numbers = zip(*search.ask(0), strict=True)
    assert statistics.fmean(gene > 0.5 for gene in likely) == pytest.approx(0.9772, abs=0.011)
    assert statistics.fmean(gene > 0.5 for gene in even) == pytest.approx(0.5, abs=0.035)
    assert statistics.fmean(numbers) == pytest.approx(0.5, abs=0.012)
    assert statistics.stdev(numbers) == pytest.approx(1 / 6, rel=0.05)


def test_the_surer_of_two_switches_has_the_higher_gene() -> None:
    genomes = CAT_CMA.start(Axes((0.6, 0.5), (0, 1)), 1, population_size=50).ask(0)
    sure, even = ({round(genome[switch], 3) for genome in genomes} for switch in (0, 1))
    assert sure == {0.363, 0.863} and even == {0.25, 0.75}  # p = 0.726: 0.6 is 0.6 standard deviations above the middle


@pytest.mark.parametrize(("switch", "moves"), [(0.75, True), (0.25, False)])
def test_a_number_is_learned_only_while_its_switch_is_on(switch: float, moves: bool) -> None:
    """Told that higher is better for 20 generations. Nothing has moved the mean; the mean of 13 draws is known to 0.05."""
    search = CAT_CMA.start(PAIRS, 1)
    for generation in range(20):
        genomes = [(*[switch] * N, *genome[N:]) for genome in search.ask(generation)]
        search.tell(genomes, [genome[N] for genome in genomes])
    mean = mean_of(search, N, 20)
    assert mean > 0.8 if moves else mean == pytest.approx(0.5, abs=0.15)


def test_a_number_of_several_switches_matters_while_one_is_on() -> None:
    both = Axes((0.5,) * 3, (0, 1), ((2, 0), (2, 1)))
    for on, moves in (((0.2, 0.8), True), ((0.8, 0.2), True), ((0.2, 0.2), False)):
        search = CAT_CMA.start(both, 3, population_size=20)
        for generation in range(15):
            genomes = [(*on, genome[2]) for genome in search.ask(generation)]
            search.tell(genomes, [genome[2] for genome in genomes])
        assert (mean_of(search, 2, 15) > 0.85) is moves


def test_where_all_numbers_matter_it_is_the_library_s_own() -> None:
    search = CAT_CMA.start(PAIRS, 1)
    peer = CatCMAwM(
        x_space=[[-np.inf, np.inf]] * N, c_space=[2] * N, population_size=search.population_size,
        mean=np.full(N, 0.5), sigma=1 / 6, cov=np.eye(N),
    )  # fmt: skip
    for generation in range(10):
        genomes = [(*[0.75] * N, *genome[N:]) for genome in search.ask(generation)]
        on = np.stack([np.zeros(N), np.ones(N)], axis=1)
        told = [(CatCMAwM.Solution(c=on, _v_raw=without_borders(np.array(genome[N:]))), -mixed(genome)) for genome in genomes]  # fmt: skip
        peer.tell(ranked(told))
        search.tell(genomes, [mixed(genome) for genome in genomes])
    assert search.sigma == pytest.approx(peer._sigma, rel=1e-9)
    assert search._strategy._mean == pytest.approx(peer._mean, rel=1e-9)  # type: ignore[attr-defined]


def ranked(told: Sequence[tuple[CatCMAwM.Solution, float]]) -> list[tuple[CatCMAwM.Solution, float]]:
    in_order = sorted(told, key=lambda pair: pair[1])
    return [(solution, float(rank)) for rank, (solution, _) in enumerate(in_order)]


def test_equal_fitnesses_count_in_the_order_of_genomes() -> None:
    one, other = CAT_CMA.start(PAIRS, 1), CAT_CMA.start(PAIRS, 1)
    genomes = one.ask(0)
    one.tell(genomes, [0.0] * len(genomes))
    other.tell(genomes, [-float(i) for i in range(len(genomes))])
    assert one.ask(1) == other.ask(1)


def test_switches_alone_are_enough() -> None:
    search = CAT_CMA.start(Axes((0.5,) * 8, tuple(range(8))), 1)
    for generation in range(40):
        genomes = search.ask(generation)
        search.tell(genomes, [sum((gene > 0.5) == (i < 3) for i, gene in enumerate(genome)) for genome in genomes])
    assert search.sigma is None
    assert all(search._strategy._q[i, 1] > 0.8 if i < 3 else search._strategy._q[i, 1] < 0.2 for i in range(8))  # type: ignore[attr-defined]


def test_borders_are_those_of_pycma() -> None:
    numbers = np.linspace(-3, 4, 1401)
    peer = cma.transformations.BoxConstraintsLinQuadTransformation([[0, 1]])
    assert within_borders(numbers) == pytest.approx([peer([x])[0] for x in numbers.tolist()], abs=1e-12)
    genes = np.linspace(0, 1, 1001)
    assert within_borders(without_borders(genes)) == pytest.approx(genes, abs=1e-12)


@pytest.mark.parametrize(
    ("kind", "axes", "message"),
    [
        ("cat_cma", Axes.plain(4), "CatCMAwM chooses what is on and off, and here is nothing to switch: choose CMA-ES"),
        ("cat_cma", Axes((0.5,) * 502, (0,)), "CatCMAwM takes up to 500 numbers beside switches, found 501: choose sep-CMA"),
        ("cma_es", Axes.plain(2001), "CMA-ES takes up to 2000 genes, found 2001: choose sep-CMA-ES"),
    ],
)  # fmt: skip
def test_spaces_that_do_not_suit_are_refused_by_name(kind: str, axes: Axes, message: str) -> None:
    with pytest.raises(GenomeError, match=message):
        searches.get(kind).start(axes, 1)


def test_a_space_without_switches_suits_all_searches_but_one() -> None:
    assert [kind.name for kind in searches if not kind.suits(Axes.plain(4))] == ["cat_cma"]
    assert all(kind.suits(PAIRS) for kind in searches)


def test_thousands_of_genes_are_for_sep_cma() -> None:
    """Its own memory grows with the genes, not by the square: 5,000 would take 200 MB and minutes."""
    search, told = searches.get("sep_cma").start(Axes.plain(5000), 1), []
    for generation in range(20):
        genomes = search.ask(generation)
        told.append(statistics.fmean(sum(genome) for genome in genomes))
        search.tell(genomes, [sum(genome) for genome in genomes])
    assert told[-1] > told[0] + 20
