"""Some samples, drawn anew for every generation, each with the same chance; the search is told their mean."""

from __future__ import annotations

from typing import Final

import numpy as np

from merging.fidelity.drawn import Drawn, allocate
from merging.fidelity.fidelity import Fidelity, History, Plan, Pool, Positions, Setting, Settings
from merging.fidelity.full import in_full

SAMPLES: Final = Setting(
    "samples",
    5,
    10_000,
    20,
    "Search samples for each candidate, over all benchmarks. More: surer and dearer.",
    is_whole=True,
)


def make(pool: Pool, history: History, settings: Settings, rng: np.random.Generator, generation: int) -> Plan:
    return of_some(FIDELITY.name, pool, int(settings["samples"]), rng)


def of_some(fidelity: str, pool: Pool, n: int, rng: np.random.Generator) -> Plan:
    """n samples in one block, told as their mean; everything where the pool holds no more than n."""
    if n >= pool.n:
        return in_full(pool, fidelity)
    drawn = uniform(pool, n, rng)
    weights = [1 / len(positions) for positions in drawn for _ in positions]
    asked = tuple(position for positions in drawn for position in positions)
    return Plan(fidelity, pool, (asked,), Drawn(asked, tuple(weights)))


def uniform(pool: Pool, n: int, rng: np.random.Generator) -> tuple[Positions, ...]:
    """n samples of the pool without replacement, spread over its parts by size: those of each part, in order."""
    counts = allocate(n, pool)
    return tuple(
        tuple(sorted((found.start + rng.permutation(len(found))[:count]).tolist()))
        for found, count in zip(pool.ranges, counts, strict=True)
    )


JUDGES = (Drawn,)
FIDELITY = Fidelity(
    name="subset",
    title="Random subset",
    summary="Every generation answers other samples, the same for all its candidates. Right on average, but noisy.",
    source="The estimator `mean` of MERGE3: Mencattini et al., 2025, https://arxiv.org/abs/2502.10436",
    settings=(SAMPLES,),
    looks_back=0,
    needs_parents=False,
    make=make,
)
