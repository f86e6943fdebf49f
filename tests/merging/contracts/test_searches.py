"""Laws that every registered search keeps: deterministic, resumable from stored rows, deaf to nonsense."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merging.errors import GenomeError
from merging.path_genomes import SCALES, path_space
from merging.recipes import Parent
from merging.search import Axes, SearchKind, default_population, replay, searches
from merging.spaces import Genome
from merging.steady import ahead, n_asked

ALL = pytest.mark.parametrize("kind", list(searches), ids=searches.names())
History = list[tuple[list[Genome], list[float]]]


def score(genome: Genome) -> float:
    """Coarse, so that ties are common, as they are with accuracies."""
    return round(-sum((gene - 0.7) ** 2 for gene in genome), 1)


def axes(kind: SearchKind, n_genes: int) -> Axes:
    """Numbers; for a search that needs switches every other gene is one, and the number before it depends on it."""
    switches = tuple(range(1, n_genes, 2)) if kind.needs_switches else ()
    return Axes((0.5,) * n_genes, switches, tuple((switch - 1, switch) for switch in switches))


def run(
    kind: SearchKind, n_genes: int, seed: int, generations: int, fitness: Callable[[Genome], float] = score
) -> History:
    search, history = kind.start(axes(kind, n_genes), seed), []
    for generation in range(generations):
        genomes = search.ask(generation)
        history.append((genomes, [fitness(genome) for genome in genomes]))
        search.tell(*history[-1])
    return history


def stored(history: History) -> History:
    """What a database gives back."""
    return [([tuple(genome) for genome in genomes], told) for genomes, told in json.loads(json.dumps(history))]


@ALL
def test_a_search_is_declared_in_full(kind: SearchKind) -> None:
    assert searches.get(kind.name) is kind
    assert kind.title and kind.summary.endswith(".") and "http" in kind.source


@ALL
@pytest.mark.parametrize("n_genes", [2, 6, 40])
def test_genes_stay_in_the_unit_cube_and_populations_have_their_size(kind: SearchKind, n_genes: int) -> None:
    for genomes, _ in run(kind, n_genes, seed=1, generations=30, fitness=sum):
        assert len(genomes) == default_population(n_genes)
        assert all(len(genome) == n_genes and all(0 <= gene <= 1 for gene in genome) for genome in genomes)


@ALL
def test_the_size_is_known_before_the_search_begins(kind: SearchKind) -> None:
    for wanted in (None, 17):
        assert kind.size(axes(kind, 6), wanted) == len(kind.start(axes(kind, 6), 1, wanted).ask(0))


@ALL
def test_seeds_decide_and_nothing_else(kind: SearchKind) -> None:
    np.random.seed(3)
    first = run(kind, 5, seed=1, generations=5)
    np.random.seed(4)
    assert run(kind, 5, seed=1, generations=5) == first != run(kind, 5, seed=2, generations=5)


@ALL
def test_numpy_s_own_generator_is_left_alone(kind: SearchKind) -> None:
    """Also with many genes, where pycma chooses other rules."""
    np.random.seed(3)
    expected = np.random.random(3).tolist()
    np.random.seed(3)
    run(kind, 5, seed=1, generations=5)
    run(kind, 320, seed=1, generations=5)
    assert np.random.random(3).tolist() == expected


@ALL
@pytest.mark.parametrize("n_genes", [2, 9, 30, 320])
def test_a_search_goes_on_from_stored_rows_bit_for_bit(kind: SearchKind, n_genes: int) -> None:
    history = stored(run(kind, n_genes, seed=7, generations=25 if n_genes < 100 else 5))
    for n_told in {0, 1, len(history) // 2, len(history) - 1}:
        resumed = replay(kind.name, axes(kind, n_genes), 7, None, history[:n_told])
        assert resumed.ask(n_told) == history[n_told][0]


@ALL
@pytest.mark.parametrize("scales", SCALES)
def test_a_search_of_paths_goes_on_from_stored_rows_bit_for_bit(kind: SearchKind, scales: str) -> None:
    parents = [Parent(name, f"/{name}", f"sha256:{name}") for name in "ab"]
    space = path_space(parents=parents, n_layers=(4, 3), repeats=2, scales=scales, max_hops=9, dtype="float32", seed=0)
    search, history = kind.start(space.axes, seed=7, population_size=12), []
    for generation in range(8):
        genomes = search.ask(generation)
        history.append((genomes, [round(sum(space.path(genome).scales), 1) for genome in genomes]))
        search.tell(*history[-1])
    for n_told in (0, 1, 7):
        assert replay(kind.name, space.axes, 7, 12, stored(history)[:n_told]).ask(n_told) == history[n_told][0]


@ALL
def test_a_search_in_steady_state_goes_on_from_stored_rows_bit_for_bit(kind: SearchKind) -> None:
    """One half of what it is told stems from the population before the last."""

    def steady(n_generations: int) -> list[Genome]:
        search, asked = kind.start(axes(kind, 9), 7), list[Genome]()
        n, n_ahead = search.population_size, ahead(search.population_size)
        for generation in range(n_generations):
            if generation:
                due = asked[n * (generation - 1) : n * generation]
                search.tell(*stored([(due, [score(genome) for genome in due])])[0])
            asked += search.ask(generation, n_asked(n, n_ahead, generation))
            assert len(asked) == n * (generation + 1) + n_ahead
        return asked

    assert [steady(n) for n in (1, 4, 12)] == [steady(12)[: len(steady(n))] for n in (1, 4, 12)]


@ALL
@pytest.mark.parametrize("n_genes", [4, 320])
def test_asking_twice_gives_the_same_population(kind: SearchKind, n_genes: int) -> None:
    search, history = kind.start(axes(kind, n_genes), seed=1), run(kind, n_genes, seed=1, generations=6)
    for generation, (genomes, told) in enumerate(history):
        assert search.ask(generation) == search.ask(generation) == genomes
        search.tell(genomes, told)


@ALL
@pytest.mark.parametrize("n_genes", [4, 320])
def test_told_genomes_count_not_asked_ones(kind: SearchKind, n_genes: int) -> None:
    """Rows from another machine may differ in the last bits; they are the truth."""
    search = kind.start(axes(kind, n_genes), seed=1)
    for generation in range(5):
        other = [tuple(gene * (1 - 1e-12) for gene in genome) for genome in search.ask(generation)]
        search.tell(other, [sum(genome) for genome in other])
    assert all(0 <= gene <= 1 for genome in search.ask(5) for gene in genome)


@ALL
def test_equal_fitnesses_do_not_stop_a_search(kind: SearchKind) -> None:
    history = run(kind, 5, seed=1, generations=120, fitness=lambda genome: 0.0)
    assert len({genome for genomes, _ in history for genome in genomes}) == 120 * default_population(5)


@ALL
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_fitness_that_is_not_finite_is_refused_and_nothing_is_learned(kind: SearchKind, bad: float) -> None:
    search, other = kind.start(axes(kind, 4), seed=1), kind.start(axes(kind, 4), seed=1)
    genomes = search.ask(0)
    fitnesses = [score(genome) for genome in genomes]
    with pytest.raises(GenomeError, match=f"the fitness of genome 0 is {bad}; expected a finite number"):
        search.tell(genomes, [bad, *fitnesses[1:]])
    other.tell(other.ask(0), fitnesses)
    search.tell(genomes, fitnesses)
    assert search.ask(1) == other.ask(1)


@ALL
@pytest.mark.parametrize("change", [lambda told: told[:-1], lambda told: [*told, told[0]], lambda told: []])
def test_a_population_of_another_size_is_refused(
    kind: SearchKind, change: Callable[[Sequence[object]], list[object]]
) -> None:
    search = kind.start(axes(kind, 4), seed=1)
    genomes = search.ask(0)
    with pytest.raises(GenomeError, match="expected 8 of each"):
        search.tell(change(genomes), [0.0] * len(genomes))  # type: ignore[arg-type]
    with pytest.raises(GenomeError, match="expected 8 of each"):
        search.tell(genomes, change([0.0] * len(genomes)))  # type: ignore[arg-type]


@ALL
@pytest.mark.parametrize("genome", [(0.5,) * 3, (0.5,) * 5, (0.5, 0.5, 0.5, 1.5), (math.nan,) * 4])
def test_a_genome_of_another_kind_is_refused(kind: SearchKind, genome: Genome) -> None:
    search = kind.start(axes(kind, 4), seed=1)
    asked = search.ask(0)
    with pytest.raises(GenomeError, match=r"genome 0 is .*; expected 4 genes from 0 to 1"):
        search.tell([genome, *asked[1:]], [0.0] * len(asked))


@ALL
@settings(max_examples=10)
@given(fitnesses=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=8, max_size=8))
def test_any_finite_fitness_is_taken(kind: SearchKind, fitnesses: list[float]) -> None:
    search = kind.start(axes(kind, 4), seed=1)
    for generation in range(3):
        search.tell(search.ask(generation), fitnesses)
    assert all(0 <= gene <= 1 for genome in search.ask(3) for gene in genome)


@ALL
def test_a_population_size_can_be_chosen(kind: SearchKind) -> None:
    search = kind.start(axes(kind, 4), 1, population_size=5)
    assert len(search.ask(0)) == search.population_size == 5
    with pytest.raises(GenomeError, match="the population size is 0"):
        kind.start(axes(kind, 4), 1, population_size=0)


@ALL
def test_no_file_is_written(kind: SearchKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(kind, 4, seed=1, generations=3)
    assert list(tmp_path.iterdir()) == []
