"""Anchors: samples that stand for others like them, found by clustering, each counted by the size of its cluster.

Samples are alike when item response theory gives them like numbers. The estimator `weighted` of MERGE3, after the anchors of
tinyBenchmarks. Not right on average by design, as a random subset is: it is as good as the clusters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from merging.errors import EvaluationError
from merging.fidelity.drawn import Drawn, allocate
from merging.fidelity.fidelity import COLUMNS, Fidelity, History, Plan, Pool, Settings
from merging.fidelity.full import in_full
from merging.fidelity.irt import fit
from merging.fidelity.mp_irt import LOOKS_BACK, N_ABILITIES, N_MODELS, seen
from merging.fidelity.subset import SAMPLES

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_ROUNDS: Final = 50


def make(pool: Pool, history: History, settings: Settings, rng: np.random.Generator, generation: int) -> Plan:
    values, n = seen(history, pool), int(settings["samples"])
    if len(values) < N_MODELS or n >= pool.n:
        return in_full(pool, FIDELITY.name)
    items, _ = fit(values, N_ABILITIES)
    numbers = np.column_stack([items.demands, items.difficulty]).reshape(len(COLUMNS), pool.n, -1)
    features = np.concatenate(list(numbers), axis=1)  # [n, columns x (abilities + 1)]
    positions: list[int] = []
    weights: list[float] = []
    for part, count in zip(pool.ranges, allocate(n, pool), strict=True):
        found, sizes = anchors(features[list(part)], count, rng)
        positions += [part.start + i for i in found]
        weights += [size / len(part) for size in sizes]
    judge = Drawn(tuple(positions), tuple(weights))
    return Plan(FIDELITY.name, pool, (judge.positions,), judge)


def anchors(points: NDArray[np.float64], n: int, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """At most n rows that stand for all rows [rows, k], and how many each stands for: k-means, then the nearest to each centre.

    Fewer than n when rows are equal. EvaluationError for a number that is not finite.
    """
    if not np.isfinite(points).all():
        raise EvaluationError("samples cannot be clustered: some of their numbers are not finite")
    centres = _spread(points, n, rng)
    nearest = _distances(points, centres).argmin(axis=1)
    for _ in range(N_ROUNDS):
        centres = np.stack(
            [points[nearest == i].mean(axis=0) if (nearest == i).any() else c for i, c in enumerate(centres)]
        )
        before, nearest = nearest, _distances(points, centres).argmin(axis=1)
        if (before == nearest).all():
            break
    distances = _distances(points, centres)
    found = []
    for cluster in range(len(centres)):
        members = np.flatnonzero(nearest == cluster)
        if len(members):
            found.append((int(members[distances[members, cluster].argmin()]), len(members)))
    found.sort()
    return [row for row, _ in found], [size for _, size in found]


def _spread(points: NDArray[np.float64], n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Centres to start from, far apart: k-means++ (Arthur and Vassilvitskii 2007)."""
    chosen = [int(rng.integers(len(points)))]
    while len(chosen) < n:
        distances = _distances(points, points[chosen]).min(axis=1)
        if distances.sum() == 0:
            break
        chosen.append(int(rng.choice(len(points), p=distances / distances.sum())))
    return points[chosen]


def _distances(points: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared, [points, centres]."""
    found: NDArray[np.float64] = ((points[:, None] - centres[None]) ** 2).sum(axis=2)
    return found


FIDELITY = Fidelity(
    name="weighted",
    title="Anchors",
    summary="Groups samples that are alike, asks one of each group and counts it by the size of its group. "
    "The first candidates answer everything.",
    source="The estimator `weighted` of MERGE3, https://arxiv.org/abs/2502.10436, after tinyBenchmarks: Maia Polo et al., 2024, https://arxiv.org/abs/2402.14992",
    settings=(SAMPLES,),
    looks_back=LOOKS_BACK,
    needs_parents=False,
    make=make,
)
