"""SCE: select the elements in which parents differ most, weight parents by energy, erase the minority."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from merging.masks import add_to_base, task_vectors
from merging.methods.method import Method, Settings, Values
from merging.parameters import Parameter
from merging.spheres import squared_lengths

if TYPE_CHECKING:
    from torch import Tensor

    from merging.draws import Draws


def merge(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: Draws
) -> Tensor:
    """theta_base + sum_i w_i m_i tau_i / sum_i w_i m_i, element by element (Wan et al.). Select: tau_i
    where its variance over parents is among the largest `select_topk`, 0 elsewhere. Calculate: w_i is the mean square
    of tau_i over the sum of them all. Erase: m_i is 1 where tau_i has the sign of sum_i tau_i.

    The share is of the elements with any variance, rounded to the nearest count and at least 1; equal variances at the
    threshold stay together. Differs from mergekit in that weights are calculated however short task vectors are: there
    they are equal once the mean squares sum to less than 1e-6, which is so for most fine-tunes; and in rounding the
    share down, to nothing for a small tensor.
    """
    taus = selected(task_vectors(base, parents), settings["select_topk"])
    energies = squared_lengths(taus)
    total = sum(energies) or 1.0
    return add_to_base(base, majority_mean(taus, [energy / total for energy in energies]), 1.0)


def selected(taus: Sequence[Tensor], share: float) -> list[Tensor]:
    """Task vectors where their variance is among the largest `share` of those above 0, the others 0. One has no variance."""
    variances = variance(taus)
    n = int(variances.count_nonzero())
    if share >= 1 or not n:
        return list(taus)
    n_kept = max(1, round(share * n))
    least = variances.flatten().kthvalue(variances.numel() - n_kept + 1).values
    return [tau * (variances >= least) for tau in taus]


def variance(taus: Sequence[Tensor]) -> Tensor:
    """Of each element over the parents."""
    mean = sum(taus[1:], taus[0]) / len(taus)
    squares = [(tau - mean).square_() for tau in taus]
    return sum(squares[1:], squares[0])


def majority_mean(taus: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Per element, the weighted mean of those task vectors that have the sign of the sum of all; a sum of 0 elects plus."""
    plus = sum(taus[1:], taus[0]) >= 0
    mixed, divisor = taus[0].new_zeros(plus.shape), taus[0].new_zeros(plus.shape)
    for tau, weight in zip(taus, weights, strict=True):
        agrees = (tau > 0).where(plus, tau < 0)
        mixed += tau.where(agrees, 0.0) * weight
        divisor += agrees * weight
    return mixed.div_(divisor.masked_fill_(divisor == 0, 1.0))


METHOD = Method(
    name="sce",
    title="SCE",
    summary="Takes the elements in which the parents differ most, weights each parent by how far it moved, drops minorities.",
    source="Wan et al., FuseChat, 2024, https://arxiv.org/abs/2408.07990",
    base="needed",
    min_parents=1,
    max_parents=None,
    parameters=(
        Parameter(
            "select_topk",
            0.05,
            1.0,
            1.0,
            per="group",
            help="The share of elements that is merged, those first in which the parents differ most.",
            above=0.0,
            at_most=1.0,
        ),
    ),
    merge=merge,
)
