"""Weighted average of parents, without a base model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from merging.kernels.passes import Keepers, Pass
from merging.masks import weighted_sum
from merging.methods.method import NORMALIZE, Method, Settings, Values
from merging.parameters import Parameter

if TYPE_CHECKING:
    from torch import Tensor

    from merging.draws import Draws


def merge(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: Draws
) -> Tensor:
    """sum_i w_i x_i, divided by sum_i w_i with `normalize`.

    Weights that sum to 0 are left undivided: there is no average to take.
    """
    weights = [value["weight"] for value in values]
    return weighted_sum(parents, weights, normalize=bool(settings["normalize"]))


def as_pass(values: Sequence[Values], settings: Settings, keepers: Keepers) -> Pass:
    """See `AsPass`."""
    return Pass(tuple(value["weight"] for value in values), normalize=bool(settings["normalize"]))


METHOD = Method(
    name="linear",
    title="Linear",
    summary="The weighted average of the parents' tensors. Simple, strong for close relatives, needs no base model.",
    source="Wortsman et al., Model soups, 2022, https://arxiv.org/abs/2203.05482",
    base="none",
    min_parents=1,
    max_parents=None,
    parameters=(
        Parameter("weight", 0.0, 1.0, 0.5, per="parent", help="This parent's share in the average."),
        # On, unlike for task vectors: tensors that sum to 1.5 of themselves are no model.
        replace(NORMALIZE, default=1, help="Divide by the sum of the weights, so that the result is an average."),
    ),
    merge=merge,
    as_pass=as_pass,
)
