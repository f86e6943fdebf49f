"""Model Stock: the average of the parents, as near to the base model as their disagreement says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from merging.kernels.passes import Keepers, Pass
from merging.methods.method import Method, Settings, Values
from merging.parameters import Parameter
from merging.spheres import Numbers, combine, cosines, per_row, products, row_products

if TYPE_CHECKING:
    from torch import Tensor

    from merging.draws import Draws


def merge(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: Draws
) -> Tensor:
    """t mean_i(theta_i) + (1 - t) theta_base with t = N cos / (1 + (N - 1) cos), cos the mean over all pairs of task vectors
    (Jang et al., their ratio for N models).

    Of whole tensors; with `filter_wise` of each row, the last dimension. Differs from mergekit in that a negative cos
    counts as 0, so that t lies in [0, 1] and parents that contradict each other give the base model, not a step away
    from them; and in that short task vectors have their true cos, where there lengths whose product is below 1e-6 make
    it smaller. A parent equal to the base has cos 0.
    """
    if not parents[0].numel():
        return parents[0]
    if not settings["filter_wise"]:
        return combine(parents, (float(_share(products(parents, base))),) * len(parents), base)
    return combine(parents, [per_row(_share(row_products(parents, base)), parents[0])] * len(parents), base)


def as_pass(values: Sequence[Values], settings: Settings, keepers: Keepers) -> Pass | None:
    """See `AsPass`. Rows have coefficients of their own."""
    return None if settings["filter_wise"] else Pass((float(_share(keepers.products())),) * len(values))


def _share(products: Numbers) -> Numbers:
    """t / N, of each row or of all. [...]"""
    n = products.shape[-1]
    pairs = np.triu(cosines(products, of_zero=0.0), 1).sum((-2, -1))
    cos = np.maximum(pairs / (n * (n - 1) / 2), 0)
    share: Numbers = cos / (1 + (n - 1) * cos)
    return share


METHOD = Method(
    name="model_stock",
    title="Model Stock",
    summary="Averages the parents and goes back towards the base model the more their changes disagree.",
    source="Jang et al., Model Stock, 2024, https://arxiv.org/abs/2403.19522",
    base="needed",
    min_parents=2,
    max_parents=None,
    parameters=(
        Parameter("filter_wise", 0, 1, 0, per="recipe", kind="flag", help="Measure each row of a tensor for itself."),
    ),
    merge=merge,
    as_pass=as_pass,
)
