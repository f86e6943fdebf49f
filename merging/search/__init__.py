"""Search algorithms, one file each: a file in this folder with a `SEARCH` is a search everywhere."""

from collections.abc import Iterable, Sequence
from typing import Final

from merging.registry import Registry, plugins
from merging.search.search import Search, SearchKind, default_population
from merging.spaces import Axes, Genome

searches: Final[Registry[SearchKind]] = Registry("search")

for _module in plugins(__name__):
    if isinstance(_search := getattr(_module, "SEARCH", None), SearchKind):
        searches.register(_search.name, _search)


def replay(
    kind: str,
    axes: Axes,
    seed: int,
    population_size: int | None,
    history: Iterable[tuple[Sequence[Genome], Sequence[float]]],
) -> Search:
    """The search as it was after it had been told `history`: all generations from 0 on, (genomes, fitnesses) in index order."""
    search = searches.get(kind).start(axes, seed, population_size)
    for generation, (genomes, fitnesses) in enumerate(history):
        search.ask(generation)
        search.tell(genomes, fitnesses)
    return search


__all__ = ["Axes", "Search", "SearchKind", "default_population", "replay", "searches"]
