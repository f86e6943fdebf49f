"""What a search algorithm is: it proposes populations of genomes and is told their fitness.

Knows no models and no recipes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from merging.errors import GenomeError
from merging.spaces import Axes, Genome


class Search(Protocol):
    """One search in progress. Asked and told in turns, from one thread.

    A function of its seed and of what it was told: before every ask the random generator is made anew from (seed,
    generation), so a search that is told a stored history goes on exactly like one that never stopped. Asking twice
    without telling gives the same population. Higher fitness is better.
    """

    @property
    def population_size(self) -> int:
        """How many genomes every ask returns and every tell takes."""
        ...

    @property
    def sigma(self) -> float | None:
        """The step size, for display; None for a search without one."""
        ...

    def ask(self, generation: int, n: int | None = None) -> list[Genome]:
        """The population of generation 0, 1, 2 ..., or `n` genomes in its place: all genes in [0, 1]."""
        ...

    def tell(self, genomes: Sequence[Genome], fitnesses: Sequence[float]) -> None:
        """The fitness of every genome of a population, in its order: the last that was asked for, or `population_size` of the last two.

        The genomes count, not what was asked: a stored population may stem from another machine, whose last bits
        differ. GenomeError for another number of genomes or genes and for a fitness that is not finite; nothing is
        learned then.
        """
        ...


class Size(Protocol):
    """How many genomes populations have, where so many are wanted, or None for the algorithm's own number. GenomeError for axes or a size
    that it cannot work with. Imports no library.
    """

    def __call__(self, axes: Axes, population_size: int | None = None) -> int: ...


class Begin(Protocol):
    """Begins a search along axes and with a size that `Size` allows."""

    def __call__(self, axes: Axes, seed: int, population_size: int) -> Search: ...


@dataclass(frozen=True)
class SearchKind:
    """A search algorithm. `source` is a citation with its address.

    Every search can begin in every space, but for one that `needs_switches`.
    """

    name: str
    title: str
    summary: str
    source: str
    size: Size
    begin: Begin
    needs_switches: bool = False

    def start(self, axes: Axes, seed: int, population_size: int | None = None) -> Search:
        """GenomeError for axes or a size that the algorithm cannot work with."""
        return self.begin(axes, seed, self.size(axes, population_size))

    def suits(self, axes: Axes) -> bool:
        return bool(axes.switches) or not self.needs_switches


def default_population(n_genes: int) -> int:
    """4 + floor(3 ln n), the default of CMA-ES (Hansen, arXiv 1604.00772, eq.

    48), and for n = 6 genes the paper's 9.
    """
    return 4 + math.floor(3 * math.log(n_genes))


def check_size(n_genes: int, population_size: int | None, min_genes: int, min_population: int, title: str) -> int:
    """The size of populations, the default for None; GenomeError for too few genes or too small a population."""
    if n_genes < min_genes:
        raise GenomeError(
            f"{title} needs at least {min_genes} genes, found {n_genes}: choose finer layer groups or another search"
        )
    size = default_population(n_genes) if population_size is None else population_size
    if size < min_population:
        raise GenomeError(f"the population size is {size}; {title} needs at least {min_population}")
    return size


def check_told(genomes: Sequence[Genome], fitnesses: Sequence[float], population_size: int, n_genes: int) -> None:
    """GenomeError unless there is one finite fitness for each of a whole population's genomes."""
    if not len(genomes) == len(fitnesses) == population_size:
        raise GenomeError(
            f"told of {len(genomes)} genomes and {len(fitnesses)} fitnesses; expected {population_size} of each"
        )
    for i, (genome, fitness) in enumerate(zip(genomes, fitnesses, strict=True)):
        if len(genome) != n_genes or not all(0 <= gene <= 1 for gene in genome):
            raise GenomeError(f"genome {i} is {genome}; expected {n_genes} genes from 0 to 1")
        if not math.isfinite(fitness):
            raise GenomeError(f"the fitness of genome {i} is {fitness}; expected a finite number")


def best_first(fitnesses: Sequence[float]) -> list[int]:
    """The numbers of a population's genomes, the fittest first, equal ones in their order."""
    return sorted(range(len(fitnesses)), key=lambda i: (-fitnesses[i], i))


def generator(seed: int, generation: int) -> np.random.Generator:
    """The only source of randomness of one generation."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, generation])))
