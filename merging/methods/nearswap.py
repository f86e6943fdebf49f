"""NearSwap: the parent's tensors where they are near the base model's, and a step of t towards them elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from merging.errors import TensorError
from merging.methods.method import Method, Settings, Values
from merging.parameters import Parameter

if TYPE_CHECKING:
    from torch import Tensor

    from merging.draws import Draws


def merge(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: Draws
) -> Tensor:
    """theta_base + lambda (theta - theta_base) with lambda = min(1, t / |theta - theta_base|) (Alchemonaut): the parent,
    no further than t from the base in any element.

    Computed as that clamp, without a division; mergekit divides by at least 1e-6, so that a t below it does less than
    it says.
    """
    if base is None:
        raise TensorError("NearSwap goes from a base model towards its parent, and there is none")
    return parents[0].clamp(base - settings["t"], base + settings["t"])


METHOD = Method(
    name="nearswap",
    title="NearSwap",
    summary="Takes the parent where it is near the base model, and goes a small step towards it elsewhere. One parent.",
    source="Alchemonaut, QuartetAnemoi-70B, 2024, https://huggingface.co/alchemonaut/QuartetAnemoi-70B-t0.0001",
    base="needed",
    min_parents=1,
    max_parents=1,
    parameters=(
        Parameter(
            "t",
            0.0,
            0.01,
            0.001,
            per="group",
            help="The furthest that an element moves from the base model.",
            at_least=0.0,
        ),
    ),
    merge=merge,
)
