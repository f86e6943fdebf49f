"""Task vectors added to the base model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from merging.kernels.passes import Keepers, Pass, over_base
from merging.masks import add_to_base, task_vectors, weighted_sum
from merging.methods.method import LAMBDA, NORMALIZE, TASK_WEIGHT, Method, Settings, Values

if TYPE_CHECKING:
    from torch import Tensor

    from merging.draws import Draws


def merge(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: Draws
) -> Tensor:
    """theta = theta_base + lambda sum_i w_i tau_i, where tau_i = theta_i - theta_base."""
    weights = [value["weight"] for value in values]
    mixed = weighted_sum(task_vectors(base, parents), weights, normalize=bool(settings["normalize"]))
    return add_to_base(base, mixed, settings["lambda"])


def as_pass(values: Sequence[Values], settings: Settings, keepers: Keepers) -> Pass:
    """See `AsPass`."""
    return over_base(values, settings, keep=(), elect=False)


METHOD = Method(
    name="task_arithmetic",
    title="Task arithmetic",
    summary="Adds what each parent learned since the base model, weighted. Weights above 1 amplify.",
    source="Ilharco et al., Editing models with task arithmetic, 2022, https://arxiv.org/abs/2212.04089",
    base="needed",
    min_parents=1,
    max_parents=None,
    parameters=(TASK_WEIGHT, NORMALIZE, LAMBDA),
    merge=merge,
    as_pass=as_pass,
)
