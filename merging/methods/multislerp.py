"""Spherical averaging of any number of parents, or of their changes since a base model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from merging.kernels.passes import Keepers, Pass
from merging.masks import TINY_WEIGHT
from merging.methods.method import NORMALIZE, Method, Settings, Values
from merging.parameters import Parameter
from merging.spheres import CANCELLED, Numbers, combine, cosines, length_of, lengths_of, products

if TYPE_CHECKING:
    from torch import Tensor

    from merging.draws import Draws


def merge(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: Draws
) -> Tensor:
    """(sum_i w_i |x_i|) m: the weighted mean length in the direction m of sum_i w_i x_i / |x_i|; with a base model, of
    task vectors, added to it.

    Goddard's method then adds a step in the space tangent at m, which is 0 in exact arithmetic: sum_i w_i (u_i - (u_i m)
    m) = s - (s m) m for s = sum_i w_i u_i, and m is the direction of s. It is left out. Zero tensors have no direction
    and count with length 0. Where directions cancel out the result is sum_i w_i x_i; mergekit does so for two parents
    and refuses more. It also adds 1e-8 to lengths, and sums them in float32 (see `merging.spheres`).
    """
    return combine(parents, _coefficients(products(parents, base), values, settings), base)


def as_pass(values: Sequence[Values], settings: Settings, keepers: Keepers) -> Pass:
    """See `AsPass`."""
    return Pass(_coefficients(keepers.products(), values, settings))


def _coefficients(products: Numbers, values: Sequence[Values], settings: Settings) -> tuple[float, ...]:
    units, lengths = cosines(products, of_zero=0.0).tolist(), lengths_of(products).tolist()
    total = sum(value["weight"] for value in values)
    divisor = total if settings["normalize_weights"] and abs(total) >= TINY_WEIGHT else 1.0
    weights = [value["weight"] / divisor for value in values]
    length = sum(weight * length for weight, length in zip(weights, lengths, strict=True))
    directed = length_of(weights, units)
    if directed < CANCELLED:
        return tuple(weights)
    return tuple(w * length / (of * directed) if of else 0.0 for w, of in zip(weights, lengths, strict=True))


METHOD = Method(
    name="multislerp",
    title="Multi-SLERP",
    summary="The weighted mean of the parents' directions, as long as they are on average: an average that does not shrink.",
    source="Goddard, Multi-SLERP, 2025, https://goddard.blog/posts/multislerp-wow-what-a-cool-idea",
    base="optional",
    min_parents=1,
    max_parents=None,
    parameters=(
        Parameter("weight", 0.0, 1.0, 0.5, per="parent", help="This parent's share in the average."),
        replace(
            NORMALIZE,
            name="normalize_weights",
            default=1,
            help="Divide the weights by their sum, so that the result is as long as the parents are.",
        ),
    ),
    merge=merge,
    as_pass=as_pass,
)
