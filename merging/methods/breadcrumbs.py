"""Breadcrumbs: of each parent's changes drop the largest as outliers and the smallest as noise, add the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from merging.kernels.passes import Keepers, Pass, over_base
from merging.masks import add_to_base, keep_middle, task_vectors, weighted_sum
from merging.methods.method import GAMMA, LAMBDA, NORMALIZE, TASK_WEIGHT, Method, Settings, Values, density_parameter

if TYPE_CHECKING:
    from torch import Tensor

    from merging.draws import Draws


def merge(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: Draws
) -> Tensor:
    """theta = theta_base + lambda sum_i w_i m_i tau_i, where m_i drops the share gamma of largest changes and keeps the share
    `density` below them (Davari and Belilovsky, eq. 2; their beta is 1 - density - gamma).
    """
    gamma = settings["gamma"]
    taus = zip(task_vectors(base, parents), values, strict=True)
    kept = [keep_middle(tau, value["density"], gamma) for tau, value in taus]
    mixed = weighted_sum(kept, [value["weight"] for value in values], bool(settings["normalize"]))
    return add_to_base(base, mixed, settings["lambda"])


def as_pass(values: Sequence[Values], settings: Settings, keepers: Keepers) -> Pass:
    """See `AsPass`."""
    keep = [keepers.middle(parent, value["density"], settings["gamma"]) for parent, value in enumerate(values)]
    return over_base(values, settings, keep, elect=False)


METHOD = Method(
    name="breadcrumbs",
    title="Breadcrumbs",
    summary="Drops each parent's largest changes as outliers and its smallest as noise, then adds the rest.",
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
