"""DELLA without the election of signs: drop small changes more often than large ones, add the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from merging.masks import add_to_base, keep_ranked, task_vectors, weighted_sum
from merging.methods.method import EPSILON, LAMBDA, NORMALIZE, TASK_WEIGHT, Method, Settings, Values, density_parameter

if TYPE_CHECKING:
    from torch import Tensor

    from merging.draws import Draws


def merge(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: Draws
) -> Tensor:
    """theta = theta_base + lambda sum_i w_i (m_i tau_i) / p_i with the masks of `della`."""
    epsilon = settings["epsilon"]
    taus = zip(task_vectors(base, parents), values, strict=True)
    kept = [keep_ranked(tau, value["density"], epsilon, draws, parent) for parent, (tau, value) in enumerate(taus)]
    mixed = weighted_sum(kept, [value["weight"] for value in values], bool(settings["normalize"]))
    return add_to_base(base, mixed, settings["lambda"])


METHOD = Method(
    name="della_linear",
    title="DELLA, linear",
    summary="Drops small changes more often than large ones, amplifies the rest, then adds them all.",
    source="Deep et al., DELLA-Merging, 2024, https://arxiv.org/abs/2406.11617",
    needs_base=True,
    min_parents=1,
    max_parents=None,
    parameters=(
        TASK_WEIGHT,
        density_parameter("The average probability that an element of this parent's changes is kept."),
        EPSILON,
        NORMALIZE,
        LAMBDA,
    ),
    merge=merge,
)
