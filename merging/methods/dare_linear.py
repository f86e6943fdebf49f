"""DARE: drop changes at random, rescale the rest, add what is left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from merging.kernels.passes import Keepers, Pass, over_base
from merging.masks import add_to_base, keep_random, task_vectors, weighted_sum
from merging.methods.method import LAMBDA, NORMALIZE, RESCALE, TASK_WEIGHT, Method, Settings, Values, density_parameter

if TYPE_CHECKING:
    from torch import Tensor

    from merging.draws import Draws


def merge(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: Draws
) -> Tensor:
    """theta = theta_base + lambda sum_i w_i (m_i tau_i) / p_i with m_i ~ Bernoulli(p_i), p the density.

    Masks and rescaling are those of `dare_ties`: 1/p as in Yu et al., eq. 3, where mergekit matches L1 norms.
    """
    taus = zip(task_vectors(base, parents), values, strict=True)
    rescale = bool(settings["rescale"])
    dropped = [keep_random(tau, value["density"], draws, parent, rescale) for parent, (tau, value) in enumerate(taus)]
    mixed = weighted_sum(dropped, [value["weight"] for value in values], bool(settings["normalize"]))
    return add_to_base(base, mixed, settings["lambda"])


def as_pass(values: Sequence[Values], settings: Settings, keepers: Keepers) -> Pass:
    """See `AsPass`."""
    keep = [keepers.random(parent, value["density"], bool(settings["rescale"])) for parent, value in enumerate(values)]
    return over_base(values, settings, keep, elect=False)


METHOD = Method(
    name="dare_linear",
    title="DARE",
    summary="Drops changes at random, amplifies the rest to make up for it, then adds them all.",
    source="Yu et al., Language Models are Super Mario, 2023, https://arxiv.org/abs/2311.03099",
    base="needed",
    min_parents=1,
    max_parents=None,
    parameters=(
        TASK_WEIGHT,
        density_parameter("The probability that an element of this parent's changes is kept."),
        RESCALE,
        NORMALIZE,
        LAMBDA,
    ),
    merge=merge,
    as_pass=as_pass,
)
