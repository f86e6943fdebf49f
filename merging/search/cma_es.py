"""CMA-ES by the library pycma, made deterministic and deaf to everything but the order of fitnesses.

The library is imported when a search begins, not before: it costs half a second, and forms only need the declaration
below.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from merging.errors import GenomeError
from merging.search.search import SearchKind, best_first, check_size, check_told, generator
from merging.spaces import Axes, Genome

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIGMA: Final = 1 / 6
MAX_GENES: Final = 2000
"""Their covariance and its axes take 0.3 GB, and grow by the square."""


class _Normals:
    """Stands where pycma expects `numpy.random.randn`, so that it never touches numpy's global generator."""

    def __init__(self) -> None:
        self.generator = generator(0, 0)

    def __call__(self, *shape: int) -> NDArray[np.float64]:
        return self.generator.standard_normal(shape)


class CmaEs:
    """See `Search`. Genes stay in [0, 1] by pycma's own transformation, which is the identity from 0.05 to 0.95.

    Clipping instead would give many points one image on the border and mislead the covariance. Fitnesses are told as
    ranks, equal ones in the order of their genomes: that is all the algorithm uses, so a flat generation is as good as
    any, no difference is too large or too small, and no stopping rule of the library is asked. `changes` are to the
    library's options.
    """

    def __init__(
        self, axes: Axes, seed: int, population_size: int, changes: Mapping[str, object] = MappingProxyType({})
    ) -> None:
        self.population_size = population_size
        self._n_genes, self._seed = axes.n_genes, seed
        self._normals = _Normals()
        library = _cma()
        options = {
            "bounds": [0, 1],
            "popsize": population_size,
            "randn": self._normals,
            "seed": math.nan,  # any number reseeds numpy's global generator
            "verbose": -9,
            "verb_log": 0,  # no files
            "verb_disp": 0,
            "AdaptSigma": library.sigma_adaptation.CMAAdaptSigmaCSA,  # else from 300 genes on one that needs what was asked
            **changes,
        }
        self._strategy = library.CMAEvolutionStrategy(list(axes.starts), SIGMA, options)

    @property
    def sigma(self) -> float:
        return float(self._strategy.sigma)

    def ask(self, generation: int, n: int | None = None) -> list[Genome]:
        self._normals.generator = generator(self._seed, generation)
        return [tuple(genome.tolist()) for genome in self._strategy.ask(n)]

    def tell(self, genomes: Sequence[Genome], fitnesses: Sequence[float]) -> None:
        check_told(genomes, fitnesses, self.population_size, self._n_genes)
        ranks = np.empty(len(genomes))
        ranks[best_first(fitnesses)] = range(len(genomes))
        self._strategy.tell([np.array(genome) for genome in genomes], ranks.tolist())


def size(axes: Axes, population_size: int | None = None) -> int:
    """4 + floor(3 ln n) unless given, the paper's setting. Switches count as numbers, as in the paper."""
    if axes.n_genes > MAX_GENES:
        raise GenomeError(f"{SEARCH.title} takes up to {MAX_GENES} genes, found {axes.n_genes}: choose sep-CMA-ES")
    return check_size(axes.n_genes, population_size, min_genes=2, min_population=4, title=SEARCH.title)


SEARCH = SearchKind(
    name="cma_es",
    title="CMA-ES",
    summary="Learns which genes move together and how far to step. The paper's choice; strong up to some hundred genes.",
    source="Hansen, The CMA evolution strategy: a tutorial, 2016, https://arxiv.org/abs/1604.00772; by pycma, https://github.com/CMA-ES/pycma",
    size=size,
    begin=CmaEs,
)


def _cma() -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*matplotlib.*")  # for plots that nobody asks for
        import cma
    return cma
