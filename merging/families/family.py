"""A model family as data: what its tensors are called, where they sit, and what of its configuration they do not show.

Knows no tensor and no class of any library.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

Place = Literal["before", "after"] | int
"""Where a tensor sits: before the layers, after them, or the number of its layer."""
NUMBER = "(0|[1-9][0-9]{0,4})"


@dataclass(frozen=True)
class Switch:
    """A yes or no of `config.json`; `default` holds where it says nothing, `wanted` is the answer with which tensors exist."""

    name: str
    default: bool = False
    wanted: bool = True


@dataclass(frozen=True)
class Part:
    """Tensors of a layer that are there together or not at all. In a name, the first `{}` is the layer's number.

    A second `{}` counts from 0 up to what the configuration says under `counted`: experts, heads. Of a family with
    experts, `layers` says whether the tensors belong to the layers that have them ("sparse") or to the others ("dense").
    """

    names: tuple[str, ...]
    switch: Switch | None = None
    layers: Literal["all", "dense", "sparse"] = "all"
    counted: str = ""

    def of_layer(self, layer: int, layout: Layout) -> Iterator[str]:
        """The names that one layer has."""
        off = self.switch is not None and layout.switches[self.switch.name] != self.switch.wanted
        if off or (self.layers != "all" and (layer in layout.dense) != (self.layers == "dense")):
            return
        counts = range(layout.counts[self.counted]) if self.counted else range(1)
        yield from (name.format(layer, count) for count in counts for name in self.names)


@dataclass(frozen=True)
class Layout:
    """What of a configuration decides which tensors a model has. `dense` are the layers without experts."""

    n_layers: int
    tied_embeddings: bool = False
    switches: Mapping[str, bool] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    dense: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Window:
    """How far back attention reaches: `default` tokens (None: all of them), but everywhere in each `full_every`-th layer.

    With a `switch`, a window is there only when the configuration turns it on.
    """

    default: int | None
    full_every: int = 0
    switch: str = ""


@dataclass(frozen=True)
class Family:
    """Names of the tensors of one `model_type`, and the parts of its configuration that change its arithmetic.

    `ignored` are patterns of buffers that old files carry and no model reads. `tied` is the output embedding that a model
    with tied embeddings does not store, and what takes its place.

    A path's scales are absorbed (`absorption.py`) into `output_projections`, which end a layer's two branches. Weights of
    `stream_readers` see the residual stream itself, where in most families all see its norm. `norms_add_one`: norms
    multiply by one plus their tensor.

    `aliases` are what this family's `config.json` calls a thing, under the name that most families have for it.
    `arithmetic` is what must agree between models whose tensors look the same, with the value that holds when a
    configuration is silent; `rotary` the same of the positions, where it is not the library's usual.
    """

    model_type: str
    title: str
    before: tuple[str, ...]
    parts: tuple[Part, ...]
    after: tuple[str, ...]
    ignored: tuple[str, ...]
    output_projections: tuple[str, ...]
    tied: tuple[str, str]
    arithmetic: Mapping[str, object]
    tied_by_default: bool = False
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rotary: Mapping[str, float] = field(default_factory=dict)
    window: Window = Window(None)
    stream_readers: tuple[str, ...] = ()
    norms_add_one: bool = False
    is_listed: bool = True
    """Whether somebody wrote the family down; see `unlisted`."""

    def place(self, tensor: str) -> Place | None:
        """Where the tensor sits; None for a name that the family does not have."""
        if tensor in self.before:
            return "before"
        if tensor in self.after:
            return "after"
        match = self._in_a_layer.fullmatch(tensor)
        return None if match is None else int(next(number for number in match.groups() if number is not None))

    def name_of(self, stored: str) -> str:
        """What a tensor of a file is called here: the same, or with the prefix that a model without its head lacks."""
        full = f"{self._prefix}{stored}"
        return full if self.place(stored) is None and self.place(full) is not None else stored

    def in_other_layer(self, tensor: str, layer: int) -> str:
        """What a layer's tensor is called in another layer. Names outside the layers have no number and stay."""
        match = self._layer_number.match(tensor)
        return tensor if match is None else f"{tensor[: match.start(1)]}{layer}{tensor[match.end(1) :]}"

    def required(self, layout: Layout) -> tuple[str, ...]:
        """Every name that a model of this layout has, in order of data flow."""
        layers = range(layout.n_layers)
        inner = tuple(name for layer in layers for part in self.parts for name in part.of_layer(layer, layout))
        after = tuple(name for name in self.after if not (layout.tied_embeddings and name == self.tied[0]))
        return self.before + inner + after

    def is_ignored(self, tensor: str) -> bool:
        return any(re.fullmatch(pattern, tensor) for pattern in self.ignored)

    @property
    def switches(self) -> tuple[Switch, ...]:
        """What of a configuration turns tensors on and off."""
        return tuple({part.switch.name: part.switch for part in self.parts if part.switch}.values())

    def switch_of(self, tensor: str) -> Switch | None:
        """What decides whether a layer has the tensor; None when nothing does."""
        blank = re.sub(rf"(?<=\.){NUMBER}(?=\.)", "{}", tensor)
        return next((part.switch for part in self.parts if blank in part.names), None)

    @property
    def counted(self) -> tuple[str, ...]:
        """What of a configuration counts tensors, beside the layers."""
        return tuple(dict.fromkeys(part.counted for part in self.parts if part.counted))

    @property
    def has_experts(self) -> bool:
        return any(part.layers == "sparse" for part in self.parts)

    @cached_property
    def _prefix(self) -> str:
        return self.before[0].partition(".")[0] + "."

    @cached_property
    def _layer_number(self) -> re.Pattern[str]:
        prefix = self.parts[0].names[0].partition("{}")[0]
        return re.compile(rf"{re.escape(prefix)}{NUMBER}(?=\.)")

    @cached_property
    def _in_a_layer(self) -> re.Pattern[str]:
        return re.compile("|".join(_pattern(name) for part in self.parts for name in part.names))


def unlisted(model_type: str, tensors: Iterable[str]) -> Family:
    """The family of a model of which nothing but its tensors is known: all of them are one group, before any layer."""
    names = tuple(sorted(tensors, key=lambda name: [(len(part), part) for part in name.split(".")]))
    return Family(
        model_type=model_type,
        title=f"the unlisted family {model_type}",
        before=names,
        parts=(),
        after=(),
        ignored=(),
        output_projections=(),
        tied=("", ""),
        arithmetic={},
        is_listed=False,
    )


def _pattern(name: str) -> str:
    """The layer's number is a group of its own; what a second blank counts is not."""
    before, *rest = (re.escape(piece) for piece in name.split("{}"))
    return before + NUMBER + NUMBER.replace("(", "(?:").join(rest)
