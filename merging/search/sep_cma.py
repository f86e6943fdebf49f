"""CMA-ES that learns how far to step in each gene and nothing of how genes move together: for spaces of thousands of genes.

pycma's VkD-CMA, which learns a few directions besides, cannot keep the contract: it compares a pair of mirrored genomes, and misses it,
with a warning, when genes come back from another machine with other last bits.
"""

from __future__ import annotations

from functools import partial

from merging.search.cma_es import CmaEs
from merging.search.search import SearchKind, check_size
from merging.spaces import Axes


def size(axes: Axes, population_size: int | None = None) -> int:
    """As CMA-ES, for any number of genes."""
    return check_size(axes.n_genes, population_size, min_genes=2, min_population=4, title=SEARCH.title)


SEARCH = SearchKind(
    name="sep_cma",
    title="sep-CMA-ES",
    summary="As CMA-ES, but each gene by itself: learns sooner, blind to genes that move together. For hundreds of genes to thousands.",
    source="Ros and Hansen, A simple modification in CMA-ES, 2008, https://doi.org/10.1007/978-3-540-87700-4_30; by pycma, https://github.com/CMA-ES/pycma",
    size=size,
    begin=partial(CmaEs, changes={"CMA_diagonal": True}),
)
