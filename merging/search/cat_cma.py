"""CatCMAwM by the library cmaes: switches as two-choice categories, numbers by CMA-ES, in one distribution.

A number that depends on switches says nothing while they are off, whatever was drawn for it. It is told as the mean: the mean stays, and
the step fits the numbers that matter. The spread of one that is hardly ever on falls as well, which only small populations pay
for: `docs/data-flow.md` has it measured.

The library is imported when a search begins, not before: it imports scipy. Its version is pinned, because here are names of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from merging.errors import GenomeError
from merging.search.cma_es import SIGMA
from merging.search.search import SearchKind, best_first, check_size, check_told, generator
from merging.spaces import Axes, Genome

if TYPE_CHECKING:
    from numpy.typing import NDArray

MARGIN: Final = 0.05
"""How near to the border genes are bent, and how far beyond it numbers go."""
MAX_NUMBERS: Final = 500
"""The library holds a covariance for every genome of a population at once: 256 MB for 128 of them."""


class CatCma:
    """See `Search`. A switch's gene is p / 2 when it is off and (1 + p) / 2 when on: p is how likely it was to be on, so that of
    two switches that are on the surer has the higher gene. Sigma begins at 1/6.

    Numbers are told as `CmaEs` tells genes: as ranks, and without borders, by the same transformation.
    """

    def __init__(self, axes: Axes, seed: int, population_size: int) -> None:
        from cmaes import CatCMAwM

        self.population_size = population_size
        self._axes, self._seed = axes, seed
        self._numbers, self._switches = list(axes.numbers), list(axes.switches)
        starts = np.array(axes.starts)
        likely = [_normal_cdf((start - 0.5) / SIGMA) for start in starts[self._switches]]
        n = len(self._numbers)
        self._strategy = CatCMAwM(
            seed=0,  # made anew before every ask
            x_space=[[-math.inf, math.inf]] * n if n else None,
            c_space=[2] * len(self._switches),
            population_size=population_size,
            mean=without_borders(starts[self._numbers]) if n else None,
            sigma=SIGMA if n else None,
            cov=np.eye(n) if n else None,
            cat_param=np.array([[1 - p, p] for p in likely]),
        )
        self._solution = CatCMAwM.Solution
        self._depends = _dependence(axes)
        self._is_free = ~self._depends.any(axis=0)  # [numbers]

    @property
    def sigma(self) -> float | None:
        return float(self._strategy._sigma) if self._numbers else None

    def ask(self, generation: int, n: int | None = None) -> list[Genome]:
        self._strategy.reseed_rng(int(generator(self._seed, generation).integers(2**32)))
        likely = self._strategy._q[:, 1]
        genomes = np.empty((n or self.population_size, self._axes.n_genes))
        for genome in genomes:
            solution = self._strategy.ask()
            genome[self._switches] = (solution.c[:, 1] + likely) / 2
            if self._numbers:
                genome[self._numbers] = within_borders(solution.x)
        return [tuple(genome) for genome in genomes.tolist()]

    def tell(self, genomes: Sequence[Genome], fitnesses: Sequence[float]) -> None:
        check_told(genomes, fitnesses, self.population_size, self._axes.n_genes)
        told = np.array(genomes)[best_first(fitnesses)]  # [genomes, genes]
        on = told[:, self._switches] > 0.5  # [genomes, switches]
        numbers = without_borders(told[:, self._numbers])  # [genomes, numbers]
        if self._numbers:
            matters = self._is_free | (on.astype(int) @ self._depends > 0)  # [genomes, numbers]
            numbers = np.where(matters, numbers, self._strategy._mean)
        rows = zip(np.stack([~on, on], axis=2), numbers, strict=True)
        self._strategy.tell([(self._solution(c=c, _v_raw=v), float(rank)) for rank, (c, v) in enumerate(rows)])


def size(axes: Axes, population_size: int | None = None) -> int:
    """4 + floor(3 ln n) unless given, as CMA-ES; GenomeError without switches or for more than 500 numbers."""
    if not axes.switches:
        raise GenomeError(f"{SEARCH.title} chooses what is on and off, and here is nothing to switch: choose CMA-ES")
    if len(axes.numbers) > MAX_NUMBERS:
        raise GenomeError(
            f"{SEARCH.title} takes up to {MAX_NUMBERS} numbers beside switches, found {len(axes.numbers)}: choose sep-CMA-ES"
        )
    return check_size(axes.n_genes, population_size, min_genes=1, min_population=4, title=SEARCH.title)


def within_borders(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Any numbers as genes: unchanged between the margins, bent towards the borders, mirrored where they go further (pycma's)."""
    length = 1 + 2 * MARGIN
    folded = np.mod(numbers + MARGIN, 2 * length)
    inside = np.minimum(folded, 2 * length - folded) - MARGIN  # from -MARGIN to 1 + MARGIN
    low, high = (inside + MARGIN) ** 2 / (4 * MARGIN), 1 - (1 + MARGIN - inside) ** 2 / (4 * MARGIN)
    return np.where(inside < MARGIN, low, np.where(inside > 1 - MARGIN, high, inside))


def without_borders(genes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The opposite of `within_borders`: numbers from -0.05 to 1.05."""
    low, high = 2 * np.sqrt(MARGIN * genes) - MARGIN, 1 + MARGIN - 2 * np.sqrt(MARGIN * (1 - genes))
    return np.where(genes < MARGIN, low, np.where(genes > 1 - MARGIN, high, genes))


def _dependence(axes: Axes) -> NDArray[np.int64]:
    """1 where a number depends on a switch: [switches, numbers]."""
    switches, numbers = ({gene: place for place, gene in enumerate(genes)} for genes in (axes.switches, axes.numbers))
    found = np.zeros((len(switches), len(numbers)), dtype=np.int64)
    for gene, switch in axes.depends:
        found[switches[switch], numbers[gene]] = 1
    return found


def _normal_cdf(x: float) -> float:
    return (1 + math.erf(x / math.sqrt(2))) / 2


SEARCH = SearchKind(
    name="cat_cma",
    title="CatCMAwM",
    summary="Learns how likely each layer is to be on, and scales as CMA-ES does; scales of layers that are off do not mislead it.",
    source="Hamano et al., CatCMA with Margin, 2025, https://arxiv.org/abs/2504.07884; by cmaes, https://github.com/CyberAgentAILab/cmaes",
    size=size,
    begin=CatCma,
    needs_switches=True,
)
