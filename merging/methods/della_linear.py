"""DELLA without the election of signs: drop small changes more often than large ones, add the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from merging.kernels.passes import Keepers, Pass, over_base
from merging.masks import add_to_base, keep_ranked, task_vectors, weighted_sum
from merging.methods.method import (
    EPSILON,
    LAMBDA,
    NORMALIZE,
    RESCALE,
    TASK_WEIGHT,
    Method,
    Settings,
    Values,
    density_parameter,
)

if TYPE_CHECKING:
    from torch import Tensor

    from merging.draws import Draws


def merge(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: Draws
) -> Tensor:
    """theta = theta_base + lambda sum_i w_i (m_i tau_i) / p_i with the masks of `della`."""
    epsilon, rescale = settings["epsilon"], bool(settings["rescale"])
    taus = zip(task_vectors(base, parents), values, strict=True)
    kept = [
        keep_ranked(tau, value["density"], epsilon, draws, parent, rescale) for parent, (tau, value) in enumerate(taus)
    ]
    mixed = weighted_sum(kept, [value["weight"] for value in values], bool(settings["normalize"]))
    return add_to_base(base, mixed, settings["lambda"])


def as_pass(values: Sequence[Values], settings: Settings, keepers: Keepers) -> Pass:
    """See `AsPass`."""
    keep = [
        keepers.ranked(parent, value["density"], settings["epsilon"], bool(settings["rescale"]))
        for parent, value in enumerate(values)
    ]
    return over_base(values, settings, keep, elect=False)


METHOD = Method(
    name="della_linear",
    title="DELLA, linear",
    summary="Drops small changes more often than large ones, amplifies the rest, then adds them all.",
    source="Deep et al., DELLA-Merging, 2024, https://arxiv.org/abs/2406.11617",
    base="needed",
    min_parents=1,
    max_parents=None,
    parameters=(
        TASK_WEIGHT,
        density_parameter("The average probability that an element of this parent's changes is kept."),
        EPSILON,
        RESCALE,
        NORMALIZE,
        LAMBDA,
    ),
    merge=merge,
    as_pass=as_pass,
)
