"""Arithmetic that merge methods share: task vectors, what is kept of them, and how they are summed.

Tensors are float32 on one device and are never written to. Products and sums round one by one, in the order written
here: no fused multiply-add, so that another implementation can give the same bits. No torch at import: only tensors'
own methods are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from merging.errors import TensorError

if TYPE_CHECKING:
    from torch import Tensor

    from merging.draws import Draws

# Below this a sum of weights counts as 0 and nothing is divided by it, as in mergekit.
TINY_WEIGHT = 1e-8


def task_vectors(base: Tensor | None, parents: Sequence[Tensor]) -> list[Tensor]:
    """tau_i = theta_i - theta_base for every parent."""
    if base is None:
        raise TensorError("task vectors are measured from a base model, and there is none")
    return [parent - base for parent in parents]


def add_to_base(base: Tensor | None, mixed: Tensor, scale: float) -> Tensor:
    """theta_base + scale x mixed."""
    if base is None:
        raise TensorError("a merged task vector is added to a base model, and there is none")
    return base + mixed * scale


def weighted_sum(tensors: Sequence[Tensor], weights: Sequence[float], normalize: bool) -> Tensor:
    """sum_i w_i x_i in the order given; with `normalize` divided by sum_i w_i, unless that is 0."""
    total = tensors[0] * weights[0]
    for tensor, weight in zip(tensors[1:], weights[1:], strict=True):
        total += tensor * weight
    divisor = sum(weights)
    return total.div_(divisor) if normalize and abs(divisor) >= TINY_WEIGHT else total


def disjoint_sum(taus: Sequence[Tensor], weights: Sequence[float], normalize: bool) -> Tensor:
    """Per element, the weighted sum of those task vectors whose sign is that of the larger mass; zeros take no part.

    With s_i = w_i tau_i, P the sum of the positive s_i and N of the negative ones: the elected sign gamma = sgn(P + N)
    (TIES, eq. 2), and what agrees with gamma sums to P or to N. A draw, P + N = 0, elects plus, as in mergekit.
    `normalize` divides by the sum of the weights that agree (TIES, eq. 3, weighted); where that is 0, nothing is
    divided.
    """
    scaled = [tau * weight for tau, weight in zip(taus, weights, strict=True)]
    positive, negative = scaled[0].clamp(min=0), scaled[0].clamp(max=0)
    for s in scaled[1:]:
        positive += s.clamp(min=0)
        negative += s.clamp(max=0)
    plus = positive + negative >= 0
    mixed = positive.where(plus, negative)
    return _divide_by_agreeing(mixed, scaled, weights, plus) if normalize else mixed


def _divide_by_agreeing(mixed: Tensor, scaled: Sequence[Tensor], weights: Sequence[float], plus: Tensor) -> Tensor:
    divisor = mixed.new_zeros(mixed.shape)
    for s, weight in zip(scaled, weights, strict=True):
        divisor += (s > 0).where(plus, s < 0) * weight
    return mixed.div_(divisor.masked_fill_(divisor.abs() < TINY_WEIGHT, 1.0))


def magnitude_thresholds(tau: Tensor, density: float, gamma: float = 0.0) -> tuple[float, float]:
    """The least and the largest magnitude to keep, when the int(gamma x n) largest go, the smallest never among them, and
    the next max(1, round(density x n)) stay.

    Without largest ones to drop the upper bound is infinite. An empty tensor keeps all it has.
    """
    magnitude = tau.abs().flatten()  # [n]
    lowest, highest = kept_places(len(magnitude), density, gamma)
    low = 0.0 if lowest is None else _nth_largest(magnitude, lowest)
    high = float("inf") if highest is None else _nth_largest(magnitude, highest)
    return low, high


def kept_places(n: int, density: float, gamma: float = 0.0) -> tuple[int | None, int | None]:
    """The places, counted from 1 for the largest, of the smallest and the largest of n magnitudes that `magnitude_thresholds`
    keeps; None where it sets no bound.
    """
    n_top, n_kept = max(0, min(int(gamma * n), n - 1)), max(1, round(density * n))
    return n_top + n_kept if n_top + n_kept < n else None, n_top + 1 if n_top else None


def keep_largest(tau: Tensor, density: float) -> Tensor:
    """`tau` with its max(1, round(density x n)) elements of largest magnitude, the others 0 (TIES).

    Equal magnitudes at the threshold live or die together, here: live. Which elements stay then depends neither on
    their order in memory nor on how a tensor is cut, and at least the density asked for is kept.
    """
    low, _ = magnitude_thresholds(tau, density)
    return tau if low == 0 else tau * (tau.abs() >= low)


def keep_middle(tau: Tensor, density: float, gamma: float) -> Tensor:
    """`tau` without its int(gamma x n) elements of largest magnitude and with the max(1, round(density x n)) next ones
    (breadcrumbs).

    Equal magnitudes at either threshold stay together, as in `keep_largest`.
    """
    low, high = magnitude_thresholds(tau, density, gamma)
    magnitude = tau.abs()
    return tau * ((magnitude >= low) & (magnitude <= high))


def keep_random(tau: Tensor, density: float, draws: Draws, parent: int, rescale: bool = True) -> Tensor:
    """`tau` with every element kept with probability `density` and, with `rescale`, divided by it, the others 0 (DARE).

    Density 1 keeps all.
    """
    if density >= 1:
        return tau
    return (tau / (density if rescale else 1.0)).mul_(draws.keep(tau, density, parent))


def keep_ranked(tau: Tensor, density: float, epsilon: float, draws: Draws, parent: int, rescale: bool = True) -> Tensor:
    """`tau` with every element kept with a probability p that grows with its magnitude and, with `rescale`, divided by p
    (DELLA).

    Within a row of n elements (the last dimension; a vector is one row) p rises in equal steps from density - epsilon
    for the smallest to density + epsilon for the largest; equal magnitudes rank in memory order. Where a density is
    nearer to 0 or 1 than epsilon, that distance takes its place. Density 1 keeps all.
    """
    if density >= 1 or not tau.numel():
        return tau
    rows = tau.reshape(-1, row_of(tau.shape))  # [rows, n]
    p = probabilities_of(_ranks(rows), rows.shape[1], density, epsilon)
    kept = draws.keep_each(p, parent)
    return (rows / p if rescale else rows).where(kept, 0.0).view(tau.shape)


def row_of(shape: Sequence[int]) -> int:
    """How many elements are ranked together: a row of a matrix, or all of a vector."""
    return shape[-1] if shape else 1


def probabilities_of(ranks: Tensor, n: int, density: float, epsilon: float) -> Tensor:
    """The probability that an element of each rank, from 0, in a row of n stays; into the memory of `ranks`, float32."""
    slope, floor = shares_of(n, density, epsilon)
    return ranks.mul_(slope).add_(floor)


def shares_of(n: int, density: float, epsilon: float) -> tuple[float, float]:
    """By how much that probability grows with a rank, and where it begins."""
    epsilon = min(epsilon, density, 1 - density)
    return (0.0, density) if n == 1 else (2 * epsilon / (n - 1), density - epsilon)


def _ranks(rows: Tensor) -> Tensor:
    """The place of every element in its row by ascending magnitude, from 0, as float32. Exact for rows up to 2^24."""
    order = rows.abs().argsort(dim=-1, stable=True)
    places = order.new_empty(rows.shape[1], dtype=rows.dtype).fill_(1).cumsum(0).sub_(1)  # [n]: 0, 1, 2 ...
    return rows.new_empty(rows.shape).scatter_(-1, order, places.expand_as(rows))


def _nth_largest(magnitude: Tensor, n: int) -> float:
    """The n-th largest, counted from 1."""
    return float(magnitude.kthvalue(magnitude.numel() - n + 1).values)
