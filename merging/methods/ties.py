"""TIES: trim small changes, elect a sign for every element, merge what agrees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from merging.kernels.passes import Keepers, Pass, over_base
from merging.masks import add_to_base, disjoint_sum, keep_largest, task_vectors
from merging.methods.method import LAMBDA, NORMALIZE, TASK_WEIGHT, Method, Settings, Values, density_parameter

if TYPE_CHECKING:
    from torch import Tensor

    from merging.draws import Draws


def merge(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: Draws
) -> Tensor:
    """theta = theta_base + lambda tau_m (Yadav et al., algorithm 1), where tau_m is the disjoint sum of the trimmed, weighted tau_i.

    Differs from the paper, as mergekit does: weights take part in the election, and without `normalize` the agreeing
    task vectors are summed; with `normalize` they are averaged by weight, which for equal weights is the paper's
    disjoint mean. Differs from mergekit in which of equal magnitudes survive at the threshold (ours: all of them;
    there: unspecified) and in rounding density x n to the nearest count instead of down.
    """
    weights = [value["weight"] for value in values]
    trimmed = [keep_largest(tau, v["density"]) for tau, v in zip(task_vectors(base, parents), values, strict=True)]
    return add_to_base(base, disjoint_sum(trimmed, weights, bool(settings["normalize"])), settings["lambda"])


def as_pass(values: Sequence[Values], settings: Settings, keepers: Keepers) -> Pass:
    """See `AsPass`."""
    keep = [keepers.largest(parent, value["density"]) for parent, value in enumerate(values)]
    return over_base(values, settings, keep, elect=True)


METHOD = Method(
    name="ties",
    title="TIES",
    summary="Keeps the largest changes of each parent and, element by element, only those that agree on a sign.",
    source="Yadav et al., TIES-Merging, 2023, https://arxiv.org/abs/2306.01708",
    base="needed",
    min_parents=1,
    max_parents=None,
    parameters=(
        TASK_WEIGHT,
        density_parameter("The share of this parent's changes that is kept, the largest first."),
        NORMALIZE,
        LAMBDA,
    ),
    merge=merge,
    as_pass=as_pass,
)
