"""Random search: every genome uniform in the unit cube. The baseline that any other search has to beat."""

from __future__ import annotations

from collections.abc import Sequence

from merging.search.search import SearchKind, check_size, check_told, generator
from merging.spaces import Axes, Genome


class RandomSearch:
    """Learns nothing; see `Search`."""

    def __init__(self, axes: Axes, seed: int, population_size: int) -> None:
        self.population_size = population_size
        self.sigma = None
        self._n_genes, self._seed = axes.n_genes, seed

    def ask(self, generation: int, n: int | None = None) -> list[Genome]:
        drawn = generator(self._seed, generation).random((n or self.population_size, self._n_genes))
        return [tuple(row) for row in drawn.tolist()]

    def tell(self, genomes: Sequence[Genome], fitnesses: Sequence[float]) -> None:
        check_told(genomes, fitnesses, self.population_size, self._n_genes)


def size(axes: Axes, population_size: int | None = None) -> int:
    """That of CMA-ES by default, so that the two compare generation by generation."""
    return check_size(axes.n_genes, population_size, min_genes=1, min_population=1, title=SEARCH.title)


SEARCH = SearchKind(
    name="random",
    title="Random search",
    summary="Independent genomes, uniform in their ranges. A baseline that cannot be misled.",
    source="Bergstra and Bengio, Random search for hyper-parameter optimization, 2012, https://jmlr.org/papers/v13/bergstra12a.html",
    size=size,
    begin=RandomSearch,
)
