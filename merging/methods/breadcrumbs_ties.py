"""Breadcrumbs with an election of signs: drop outliers and noise, merge what agrees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from merging.kernels.passes import Keepers, Pass, over_base
from merging.masks import add_to_base, disjoint_sum, keep_middle, task_vectors
from merging.methods.method import GAMMA, LAMBDA, NORMALIZE, TASK_WEIGHT, Method, Settings, Values, density_parameter

if TYPE_CHECKING:
    from torch import Tensor

    from merging.draws import Draws


def merge(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: Draws
) -> Tensor:
    """theta = theta_base + lambda tau_m, where tau_m is the disjoint sum of the w_i m_i tau_i with the masks of `breadcrumbs`."""
    gamma = settings["gamma"]
    taus = zip(task_vectors(base, parents), values, strict=True)
    kept = [keep_middle(tau, value["density"], gamma) for tau, value in taus]
    mixed = disjoint_sum(kept, [value["weight"] for value in values], bool(settings["normalize"]))
    return add_to_base(base, mixed, settings["lambda"])


def as_pass(values: Sequence[Values], settings: Settings, keepers: Keepers) -> Pass:
    """See `AsPass`."""
    keep = [keepers.middle(parent, value["density"], settings["gamma"]) for parent, value in enumerate(values)]
    return over_base(values, settings, keep, elect=True)


METHOD = Method(
    name="breadcrumbs_ties",
    title="Breadcrumbs-TIES",
    summary="Drops each parent's largest changes as outliers and its smallest as noise, then keeps what agrees on a sign.",
    source="Davari and Belilovsky, Model Breadcrumbs, 2023, https://arxiv.org/abs/2312.06795",
    base="needed",
    min_parents=1,
    max_parents=None,
    parameters=(
        TASK_WEIGHT,
        density_parameter("The share of this parent's changes that is kept, the largest first after the outliers."),
        GAMMA,
        NORMALIZE,
        LAMBDA,
    ),
    merge=merge,
    as_pass=as_pass,
)
