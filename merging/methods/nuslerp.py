"""Spherical interpolation by weights, of whole tensors or of each row or column, with or without a base model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from merging.kernels.passes import Keepers, Pass
from merging.masks import TINY_WEIGHT
from merging.methods.method import Method, Settings, Values
from merging.parameters import Parameter
from merging.spheres import Numbers, arc, combine, cosines, per_row, products, row_products

if TYPE_CHECKING:
    from torch import Tensor

    from merging.draws import Draws


def merge(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: Draws
) -> Tensor:
    """`slerp` of the parents at t = w_2 / (w_1 + w_2); with a base model, of their task vectors, added to it.

    Without `flatten` every row, the last dimension, is a vector of its own; with `column_wise` every column, the first.
    Weights that sum to 0 count as equal. Differs from mergekit in the names: its `nuslerp_row_wise` takes columns, and
    takes rows when it is off; and in the straight line, which it takes only where the cosine rounds to 1, after
    rounding it to the tensors' own type, of lengths that it sums in float32 (see `merging.spheres`).
    """
    t = _share(values)
    if not parents[0].numel():
        return parents[0]
    if settings["flatten"]:
        return combine(parents, _coefficients(products(parents, base), t), base)
    turned = bool(settings["column_wise"]) and parents[0].ndim > 1
    ends = [parent.transpose(0, -1) for parent in parents] if turned else parents
    start = base.transpose(0, -1) if turned and base is not None else base
    between = cosines(row_products(ends, start), of_zero=1.0)[:, 0, 1]
    merged = combine(ends, [per_row(coefficient, ends[0]) for coefficient in arc(between, t)], start)
    return merged.transpose(0, -1).contiguous() if turned else merged


def as_pass(values: Sequence[Values], settings: Settings, keepers: Keepers) -> Pass | None:
    """See `AsPass`. Rows and columns have coefficients of their own."""
    return Pass(_coefficients(keepers.products(), _share(values))) if settings["flatten"] else None


def _share(values: Sequence[Values]) -> float:
    one, two = (value["weight"] for value in values)
    return 0.5 if abs(one + two) < TINY_WEIGHT else two / (one + two)


def _coefficients(products: Numbers, t: float) -> tuple[float, ...]:
    return tuple(float(coefficient) for coefficient in arc(cosines(products, of_zero=1.0)[0, 1], t))


METHOD = Method(
    name="nuslerp",
    title="NuSLERP",
    summary="SLERP by weights: along the arc between two parents or, over a base model, between their changes.",
    source="Shoemake, Animating rotation with quaternion curves, 1985, https://doi.org/10.1145/325165.325242; weights and "
    "rows as in mergekit, https://github.com/arcee-ai/mergekit",
    base="optional",
    min_parents=2,
    max_parents=2,
    parameters=(
        Parameter("weight", 0.0, 1.0, 0.5, per="parent", help="This parent's share: how near to it the result lies."),
        Parameter(
            "flatten",
            0,
            1,
            1,
            per="recipe",
            kind="flag",
            help="Take every tensor as one vector. Off: each row for itself.",
        ),
        Parameter(
            "column_wise",
            0,
            1,
            0,
            per="recipe",
            kind="flag",
            help="Without flatten: each column for itself, not each row.",
        ),
    ),
    merge=merge,
    as_pass=as_pass,
)
