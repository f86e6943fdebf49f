"""One parent as it is: how parents themselves become candidates and are measured like any merge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from merging.kernels.passes import Keepers, Pass
from merging.methods.method import Method, Settings, Values
from merging.parameters import Parameter

if TYPE_CHECKING:
    from torch import Tensor

    from merging.draws import Draws


def merge(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: Draws
) -> Tensor:
    """scale x theta of the only parent; at 1 its own tensor, not a copy."""
    scale = values[0]["scale"]
    return parents[0] if scale == 1 else parents[0] * scale


def as_pass(values: Sequence[Values], settings: Settings, keepers: Keepers) -> Pass:
    """See `AsPass`."""
    return Pass((values[0]["scale"],))


METHOD = Method(
    name="passthrough",
    title="Passthrough",
    summary="One parent as it is, or layers of several on top of each other.",
    source="Identity; named as in mergekit, https://github.com/arcee-ai/mergekit",
    base="none",
    min_parents=1,
    max_parents=1,
    parameters=(Parameter("scale", 0.0, 2.0, 1.0, per="parent", help="What the tensors are multiplied with."),),
    merge=merge,
    as_pass=as_pass,
)
