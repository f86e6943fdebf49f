"""Some samples, drawn more often the more earlier candidates disagree on them; weighted so that it evens out.

A sample that all get right, or none, tells nothing about who is better. Each sample's chance is its entropy among the
candidates of the last generations, and a quarter of the chances is the same for all, which bounds the weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from merging.fidelity.drawn import Drawn, allocate
from merging.fidelity.fidelity import Fidelity, History, Plan, Pool, Settings
from merging.fidelity.full import in_full
from merging.fidelity.subset import SAMPLES

if TYPE_CHECKING:
    from numpy.typing import NDArray

EVEN_SHARE: Final = 0.25
N_CANDIDATES: Final = 8
"""Fewer tell too little of which samples are hard: everything is asked."""
LOOKS_BACK: Final = 5


def make(pool: Pool, history: History, settings: Settings, rng: np.random.Generator, generation: int) -> Plan:
    earlier = [scored.answers for closed in history.generations for scored in closed]
    if len(earlier) < N_CANDIDATES or settings["samples"] >= pool.n:
        return in_full(pool, FIDELITY.name)
    guesses = expected(np.stack([answers.over(pool.n) for answers in earlier]), pool)
    positions, weights = [], []
    for part, n in zip(pool.ranges, allocate(int(settings["samples"]), pool), strict=True):
        chances = inclusion_chances(entropies(guesses[0, list(part)]), n)
        drawn = draw(chances, rng)
        positions += [part.start + i for i in drawn]
        weights += [1 / (len(part) * chances[i]) for i in drawn]
    judge = Drawn(
        tuple(positions), tuple(map(float, weights)), tuple(tuple(row) for row in without_nan(guesses).tolist())
    )
    return Plan(FIDELITY.name, pool, (judge.positions,), judge)


def expected(values: NDArray[np.float64], pool: Pool) -> NDArray[np.float64]:
    """[columns, n] from [models, columns, n]: each sample's mean over those that were asked it, NaN for a column it lacks.

    Shrunk by one imagined answer towards the mean of its part, which is all that is known of a sample never asked.
    """
    asked = ~np.isnan(values)
    sums: NDArray[np.float64] = np.where(asked, values, 0.0).sum(axis=0)
    counts: NDArray[np.int64] = asked.sum(axis=0)
    found = np.full(sums.shape, np.nan)
    for part in map(list, pool.ranges):
        n = counts[:, part].sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            mean = sums[:, part].sum(axis=1, keepdims=True) / n  # 0 / 0 for a column that no sample of the part has
        found[:, part] = (sums[:, part] + mean) / (counts[:, part] + 1)
    return found


def without_nan(guesses: NDArray[np.float64]) -> NDArray[np.float64]:
    """For storing: a column that does not exist is guessed 0, and stays unknown because its answers are."""
    return np.where(np.isnan(guesses), 0.0, guesses)


def entropies(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of one answer each, in bits; 0 where it is certain."""
    p = np.clip(means, 1e-12, 1 - 1e-12)
    found: NDArray[np.float64] = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    return found


def inclusion_chances(sizes: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """In proportion to the sizes, mixed with even ones; they sum to n, and none is above 1."""
    even, total = np.full(len(sizes), 1 / len(sizes)), float(sizes.sum())
    shares = EVEN_SHARE * even + (1 - EVEN_SHARE) * (sizes / total if total > 0 else even)
    certain = np.zeros(len(sizes), dtype=bool)
    while True:
        scale = (n - certain.sum()) / max(shares[~certain].sum(), 1e-300)
        chances: NDArray[np.float64] = np.where(certain, 1.0, shares * scale)
        if (chances <= 1).all():
            return chances
        certain |= chances > 1


def draw(chances: NDArray[np.float64], rng: np.random.Generator) -> list[int]:
    """Items with exactly these chances, as many as they sum to: systematic sampling in random order (Madow 1949)."""
    order = rng.permutation(len(chances))
    ends = np.cumsum(chances[order])
    n = round(float(ends[-1]))
    chosen = np.searchsorted(ends, rng.random() + np.arange(n), side="right")
    return sorted(order[np.minimum(chosen, len(order) - 1)].tolist())


FIDELITY = Fidelity(
    name="entropy",
    title="Subset, weighted by entropy",
    summary="Prefers samples on which earlier candidates disagreed, and weighs answers so that the estimate is right on average. "
    "The first candidates answer everything.",
    source="Särndal, Swensson, Wretman, Model assisted survey sampling, 1992, https://doi.org/10.1007/978-1-4612-4378-6",
    settings=(SAMPLES,),
    looks_back=LOOKS_BACK,
    needs_parents=False,
    make=make,
)
