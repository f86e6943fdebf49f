"""A model family as data: what its tensors are called and where they sit.

Knows no tensor and no class of any library.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Place = Literal["before", "after"] | int
"""Where a tensor sits: before the layers, after them, or the number of its layer."""


@dataclass(frozen=True)
class Family:
    """Names of the tensors of one `model_type`. In a layer's names, `{}` is its number.

    `optional` names are there or not, as a configuration says (biases). `ignored` are patterns of buffers that old
    files carry and no model reads. `output_projections` end a layer's two branches: what a scaled residual stream is
    absorbed into. `tied` is the output embedding that a model with tied embeddings does not store, and what takes its
    place.
    """

    model_type: str
    title: str
    before: tuple[str, ...]
    in_layer: tuple[str, ...]
    after: tuple[str, ...]
    optional: tuple[str, ...]
    ignored: tuple[str, ...]
    output_projections: tuple[str, ...]
    tied: tuple[str, str]

    def place(self, tensor: str) -> Place | None:
        """Where the tensor sits; None for a name that the family does not have."""
        if tensor in self.before:
            return "before"
        if tensor in self.after:
            return "after"
        match = self._layer_number.match(tensor)
        if match and _with_blank(tensor, match) in {*self.in_layer, *self.optional}:
            return int(match[1])
        return None

    def in_other_layer(self, tensor: str, layer: int) -> str:
        """What a layer's tensor is called in another layer. Names outside the layers have no number and stay."""
        match = self._layer_number.match(tensor)
        return tensor if match is None else _with_blank(tensor, match).format(layer)

    def required(self, n_layers: int, tied_embeddings: bool) -> tuple[str, ...]:
        """Every name that a model of so many layers must have, in order of data flow."""
        layers = tuple(name.format(layer) for layer in range(n_layers) for name in self.in_layer)
        after = tuple(name for name in self.after if not (tied_embeddings and name == self.tied[0]))
        return self.before + layers + after

    def is_ignored(self, tensor: str) -> bool:
        return any(re.fullmatch(pattern, tensor) for pattern in self.ignored)

    @cached_property
    def _layer_number(self) -> re.Pattern[str]:
        prefix = self.in_layer[0].partition("{}")[0]
        return re.compile(re.escape(prefix) + r"(0|[1-9][0-9]{0,4})(?=\.)")


def _with_blank(tensor: str, match: re.Match[str]) -> str:
    start, stop = match.span(1)
    return f"{tensor[:start]}{{}}{tensor[stop:]}"
