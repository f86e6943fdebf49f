"""DARE-TIES, the operator of evolutionary model merging: drop changes at random, rescale the rest, then merge what agrees on a sign."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from merging.kernels.passes import Keepers, Pass, over_base
from merging.masks import add_to_base, disjoint_sum, keep_random, task_vectors
from merging.methods.method import LAMBDA, NORMALIZE, RESCALE, TASK_WEIGHT, Method, Settings, Values, density_parameter

if TYPE_CHECKING:
    from torch import Tensor

    from merging.draws import Draws


def merge(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: Draws
) -> Tensor:
    """theta = theta_base + lambda tau_m, where tau_m is the disjoint sum of w_i (m_i tau_i) / p_i and m_i ~
    Bernoulli(p_i), p the density.

    Rescales by 1/p (Yu et al., eq. 3 with p = 1 - drop rate), so that the expected task vector is unchanged; mergekit
    instead matches the L1 norm of every tensor, which makes the scale itself random. Masks depend on the recipe's seed,
    the tensor's name and the parent's index, and a higher density only ever adds elements: fitness has no jumps but
    those of the merge itself.
    """
    weights = [value["weight"] for value in values]
    taus = zip(task_vectors(base, parents), values, strict=True)
    rescale = bool(settings["rescale"])
    dropped = [keep_random(tau, value["density"], draws, parent, rescale) for parent, (tau, value) in enumerate(taus)]
    return add_to_base(base, disjoint_sum(dropped, weights, bool(settings["normalize"])), settings["lambda"])


def as_pass(values: Sequence[Values], settings: Settings, keepers: Keepers) -> Pass:
    """See `AsPass`."""
    keep = [keepers.random(parent, value["density"], bool(settings["rescale"])) for parent, value in enumerate(values)]
    return over_base(values, settings, keep, elect=True)


METHOD = Method(
    name="dare_ties",
    title="DARE-TIES",
    summary="Drops changes at random, amplifies the rest to make up for it, then keeps what agrees on a sign.",
    source="Yu et al., Language Models are Super Mario, 2023, https://arxiv.org/abs/2311.03099; with TIES as in "
    "Akiba et al., 2024, https://arxiv.org/abs/2403.13187",
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
