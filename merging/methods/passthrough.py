"""One parent as it is: how parents themselves become candidates and are measured like any merge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from merging.methods.method import Method, Settings, Values

if TYPE_CHECKING:
    from torch import Tensor

    from merging.draws import Draws


def merge(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: Draws
) -> Tensor:
    """The only parent's tensor, unchanged."""
    return parents[0]


METHOD = Method(
    name="passthrough",
    title="Passthrough",
    summary="One parent as it is.",
    source="Identity; named as in mergekit, https://github.com/arcee-ai/mergekit",
    needs_base=False,
    min_parents=1,
    max_parents=1,
    parameters=(),
    merge=merge,
)
