"""Arcee Fusion: of one parent's changes only the most important, by a threshold that each tensor sets itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from merging.errors import TensorError
from merging.masks import row_of, task_vectors
from merging.methods.method import Method, Settings, Values
from merging.spheres import BLOCK

if TYPE_CHECKING:
    from torch import Tensor

    from merging.draws import Draws


def merge(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: Draws
) -> Tensor:
    """theta_base + m tau, where m keeps the elements whose importance is at least median + 1.5 x (third - first
    quartile). The importance of an element is |tau| times KL(softmax(theta) || softmax(theta_base)) of its row.

    Differs from mergekit in that quartiles are those of all elements, where there tensors above a million are sampled,
    differently every time; in that the divergence is computed in float64, without 1e-8 added to probabilities, because
    that of close relatives, near 1e-6, drowns in float32's rounding; and in the type of the result, there float32
    whatever was asked for.
    """
    if base is None:
        raise TensorError("Arcee Fusion measures importance against a base model, and there is none")
    (tau,) = task_vectors(base, parents)
    if not tau.numel():
        return base
    importance = tau.abs().view(-1, row_of(tau.shape)).mul_(divergence(parents[0], base)).view(-1)
    first, median, third = (_order_statistic(importance, share) for share in (0.25, 0.5, 0.75))
    kept = importance >= median + 1.5 * (third - first)
    return base + tau * kept.view(tau.shape)


def divergence(parent: Tensor, base: Tensor) -> Tensor:
    """KL of each row's softmax from the base's: sum p (x - b) - (lse(x) - lse(b)). [rows, 1]"""
    width = row_of(parent.shape)
    rows = [tensor.reshape(-1, width) for tensor in (parent, base)]
    found = parent.new_empty(len(rows[0]), 1)
    step = max(1, BLOCK // width)
    for start in range(0, len(found), step):
        x, b = (tensor[start : start + step].double() for tensor in rows)
        normalisers = x.logsumexp(-1, keepdim=True) - b.logsumexp(-1, keepdim=True)
        found[start : start + step] = (x.softmax(-1) * (x - b)).sum(-1, keepdim=True) - normalisers
    return found.clamp_(min=0)


def _order_statistic(values: Tensor, share: float) -> Tensor:
    """The value at place int(share x (n - 1)) in ascending order, from 0."""
    return values.kthvalue(int(share * (values.numel() - 1)) + 1).values


METHOD = Method(
    name="arcee_fusion",
    title="Arcee Fusion",
    summary="Adds only the most important of one parent's changes; each tensor sets its own threshold.",
    source="Arcee AI, https://github.com/arcee-ai/mergekit",
    base="needed",
    min_parents=1,
    max_parents=1,
    parameters=(),
    merge=merge,
)
