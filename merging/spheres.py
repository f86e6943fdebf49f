"""Inner products of tensors, and sums of tensors by coefficients that come from them: what the spherical methods share.

Slerp, NuSLERP, multi-SLERP, the Karcher mean and Model Stock all end in a sum of the parents, or of their task vectors,
whose coefficients are functions of the vectors' inner products alone. So a tensor is read twice, once for a handful of
inner products and once for the sum, and what lies between is arithmetic on a few float64 numbers: angles are exact
enough without thresholds, iterations cost nothing, and no unit vector is ever stored. mergekit's lengths are one long
sum in float32, which for a tensor of 25 million elements comes out 0.13 % short; ours are exact.

Tensors are on one device and are never written to; those that are summed here are float32. No torch at import. On a CPU a
kernel takes the products, elsewhere tensors' own methods; what comes of them is numbers of NumPy's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from operator import mul
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from merging.elements import AnyTensor, Elements, as_elements, as_tensor
from merging.masks import row_of

if TYPE_CHECKING:
    from torch import Tensor

Numbers = NDArray[np.float64]

WIDTH: Final = 4096
"""Elements that are summed in one go, each such row by a single thread: sums are the same for every number of threads."""
BLOCK: Final = 1 << 16
"""Elements that are float64 at a time: half a megabyte for each parent, which stays in the cache."""

STRAIGHT: Final = 1e-4
"""Below this sine of an angle two vectors are joined by a straight line. For nearly equal directions that is the arc to
1e-9; for nearly opposite ones rounding would decide which way round the arc goes.
"""
CANCELLED: Final = 1e-8
"""A sum of unit vectors shorter than this has no direction."""


def products(tensors: Sequence[AnyTensor], base: AnyTensor | None = None) -> Numbers:
    """<x_i, x_j> of all pairs of tensors as vectors, or of their differences from the base. [n, n]"""
    given = tensors if base is None else [base, *tensors]
    flat = [one if isinstance(one, Elements) else one.reshape(-1) for one in given]
    here = [one for one in map(as_elements, flat) if isinstance(one, Elements)]
    if len(here) == len(flat):
        from merging.kernels import inner  # not before: it imports numba

        return inner.products(here[base is not None :], None if base is None else here[0])
    vectors = [as_tensor(one) for one in flat]
    whole = len(vectors[0]) - len(vectors[0]) % WIDTH
    head = _row_products([vector[:whole].view(-1, WIDTH) for vector in vectors], base is not None)
    rest = _row_products([vector[whole:].view(1, -1) for vector in vectors], base is not None)
    return _numbers(head.sum(0) + rest[0])


def squared_lengths(tensors: Sequence[Tensor]) -> list[float]:
    """<x_i, x_i> of each tensor."""
    return [products([tensor]).item() for tensor in tensors]


def row_products(tensors: Sequence[Tensor], base: Tensor | None = None) -> Numbers:
    """The same for each row, the last dimension, by itself; a vector is one row. [rows, n, n]"""
    shape = tensors[0].shape
    if math.prod(shape[:-1]) == 1:
        return products(tensors, base)[None]
    rows = [
        tensor.reshape(math.prod(shape[:-1]), row_of(shape))
        for tensor in (tensors if base is None else [base, *tensors])
    ]
    return _numbers(_row_products(rows, base is not None))


def cosines(products: Numbers, of_zero: float) -> Numbers:
    """cos of the angle of each pair, [..., n, n]; `of_zero` where one is the zero vector, which has no direction."""
    lengths = lengths_of(products)
    both = lengths[..., :, None] * lengths[..., None, :]
    with np.errstate(invalid="ignore"):  # what is not finite stays so, and is refused by name when it is merged
        found = np.clip(products / np.where(both == 0, 1.0, both), -1, 1)
    return np.where(both == 0, of_zero, found)


def lengths_of(products: Numbers) -> Numbers:
    """|x_i|, [..., n]"""
    return np.sqrt(np.diagonal(products, axis1=-2, axis2=-1))


def arc(cosine: Numbers, t: float) -> tuple[Numbers, Numbers]:
    """The coefficients of both ends at the share t of the way along the arc between them (Shoemake 1985, section 3.3):
    sin((1 - t) theta) / sin theta and sin(t theta) / sin theta; 1 - t and t on a straight line.
    """
    theta = np.arccos(cosine)
    straight = np.sin(theta) < STRAIGHT
    sine = np.where(straight, 1.0, np.sin(theta))
    first, second = (np.where(straight, share, np.sin(share * theta) / sine) for share in (1 - t, t))
    return first, second


def peer_arc(products: Numbers, t: float) -> tuple[float, float]:
    """What mergekit's slerp multiplies each of two tensors with: 1 - t and t where |cos| > 0.9995, and lengths below 1e-8
    count as 1. [2, 2]
    """
    lengths = lengths_of(products)
    lengths = np.where(lengths > 1e-8, lengths, 1.0)
    with np.errstate(invalid="ignore"):  # as in `cosines`
        cosine = np.clip(products[0, 1] / lengths[0] / lengths[1], -1, 1)
    ends = 1 - np.float32(t), np.float32(t)
    if abs(cosine) > 0.9995:
        return float(ends[0]), float(ends[1])
    theta = np.arccos(cosine)
    first, second = (np.float32(np.sin(share * theta) / np.sin(theta)) for share in ends)
    return float(first), float(second)


def length_of(coefficients: Sequence[float], products: Sequence[Sequence[float]]) -> float:
    """|sum_i c_i x_i|"""
    square = math.fsum(a * b * products[i][j] for i, a in enumerate(coefficients) for j, b in enumerate(coefficients))
    return math.sqrt(max(square, 0.0))


def mean_direction(cosines: Sequence[Sequence[float]], max_iter: int, tol: float) -> list[float] | None:
    """The coefficients c of the Karcher mean sum_i c_i u_i of unit vectors, at most `max_iter` steps from their plain
    mean; None where they cancel out or there are none.

    A step is the mean of the tangent vectors log_m(u_i) = theta_i / sin theta_i (u_i - cos theta_i m) and goes along its
    own great circle; one no longer than `tol` is not taken. Opposite to m there is no way that is shortest, and none counts.
    """
    n = len(cosines)
    mean = [1.0] * n
    if length_of(mean, cosines) <= n * CANCELLED:
        return None
    mean = _unit(mean, cosines)
    for _ in range(max_iter):
        dots = [max(-1.0, min(1.0, math.fsum(map(mul, mean, row)))) for row in cosines]
        pulls = [_pull(dot) / n for dot in dots]
        inward = math.fsum(map(mul, pulls, dots))
        tangent = [pull - inward * c for pull, c in zip(pulls, mean, strict=True)]
        angle = length_of(tangent, cosines)
        if angle <= tol:
            break
        along = math.sin(angle) / angle
        mean = _unit([math.cos(angle) * c + along * to for c, to in zip(mean, tangent, strict=True)], cosines)
    return mean


def combine(parents: Sequence[Tensor], coefficients: Sequence[Numbers | float], base: Tensor | None = None) -> Tensor:
    """sum_i c_i x_i in the order given, or base + sum_i c_i (x_i - base). One temporary at a time, products in float32.

    A coefficient is a number, or one number for each row: [*shape[:-1], 1].
    """
    terms = _terms(parents, coefficients, base)
    total = next(terms)
    for term in terms:
        total += term
    return total if base is None else total.add_(base)


def per_row(coefficient: Numbers, like: Tensor) -> Numbers:
    """One number for each row, [rows], in the shape that `combine` takes."""
    return coefficient.reshape(*like.shape[:-1], 1) if like.ndim else coefficient.reshape(())


def _unit(coefficients: Sequence[float], cosines: Sequence[Sequence[float]]) -> list[float]:
    length = length_of(coefficients, cosines)
    return [c / length for c in coefficients]


def _pull(cosine: float) -> float:
    """theta / sin theta; 0 for opposite vectors, see `STRAIGHT`."""
    theta = math.acos(cosine)
    sine = math.sin(theta)
    return theta / sine if sine > STRAIGHT else float(cosine > 0)


def _terms(parents: Sequence[Tensor], coefficients: Sequence[Numbers | float], base: Tensor | None) -> Iterator[Tensor]:
    for parent, coefficient in zip(parents, coefficients, strict=True):
        rounded = coefficient if isinstance(coefficient, float) else parent.new_tensor(coefficient)
        yield (parent if base is None else parent - base) * rounded


def _numbers(tensor: Tensor) -> Numbers:
    found: Numbers = tensor.cpu().numpy()
    return found


def _row_products(tensors: Sequence[Tensor], over_base: bool) -> Tensor:
    """Tensors are [rows, width]; with `over_base` the first is subtracted from the others, exactly."""
    rows, width = tensors[0].shape
    n = len(tensors) - over_base
    found = tensors[0].new_zeros(rows, n, n).double()
    step = max(1, BLOCK // max(1, width))
    for start in range(0, rows, step):
        block = [tensor[start : start + step].double() for tensor in tensors]  # [step, width]
        if over_base:
            base = block.pop(0)
            block = [vector.sub_(base) for vector in block]
        for i, one in enumerate(block):
            for j, other in enumerate(block[: i + 1]):
                dots = (one * other).sum(-1)
                found[start : start + step, i, j] = found[start : start + step, j, i] = dots
    return found
