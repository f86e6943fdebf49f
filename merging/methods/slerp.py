"""Spherical interpolation: along the arc from the first parent to the second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from merging.kernels.passes import Keepers, Pass
from merging.methods.method import Method, Settings, Values
from merging.parameters import Parameter
from merging.spheres import Numbers, arc, combine, cosines, products

if TYPE_CHECKING:
    from torch import Tensor

    from merging.draws import Draws


def merge(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: Draws
) -> Tensor:
    """sin((1 - t) theta) / sin theta x_1 + sin(t theta) / sin theta x_2, theta the angle between the tensors as vectors
    (Shoemake, section 3.3): t = 0 is the first parent, t = 1 the second.

    Differs from mergekit where it takes the straight line: there from a cosine of +-0.9995 on, because angles come from
    float32; here theta comes from float64, so only directions that are equal or opposite to within 1e-4, or a zero
    tensor, need it. For close relatives, whose cosine is above 0.9995, tensors differ by at most 1.3e-4 of themselves. A
    base model has no part in it: mergekit's `base_model` is the first parent.
    """
    return combine(parents, _coefficients(products(parents), settings))


def as_pass(values: Sequence[Values], settings: Settings, keepers: Keepers) -> Pass:
    """See `AsPass`."""
    return Pass(_coefficients(keepers.products(), settings))


def _coefficients(products: Numbers, settings: Settings) -> tuple[float, ...]:
    ends = arc(cosines(products, of_zero=1.0)[0, 1], settings["t"])
    return tuple(float(coefficient) for coefficient in ends)


METHOD = Method(
    name="slerp",
    title="SLERP",
    summary="Goes along the arc from the first parent to the second, so that tensors keep their length. Exactly two parents.",
    source="Shoemake, Animating rotation with quaternion curves, 1985, https://doi.org/10.1145/325165.325242",
    base="none",
    min_parents=2,
    max_parents=2,
    parameters=(
        Parameter("t", 0.0, 1.0, 0.5, per="group", help="The share of the way from the first parent to the second."),
    ),
    merge=merge,
    as_pass=as_pass,
)
