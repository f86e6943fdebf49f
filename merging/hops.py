"""The layers that every token passes, in order of data flow: as many of each parent as wanted, in any order.

Knows numbers only; what a path becomes is in `paths.py`. Akiba et al., section 3.2: https://arxiv.org/abs/2403.13187
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final

from merging.errors import RecipeError
from merging.words import counted, joined

MAX_HOPS: Final = 10_000
"""As many layers as a configuration may have."""
MAX_STRETCHES: Final = 12
"""Stretches that a sentence names one by one."""


@dataclass(frozen=True)
class Hop:
    """A layer of one of a recipe's parents, both counted from 0. The residual stream x is multiplied by `scale` on its way in:
    y = s x + F(norm(s x)).
    """

    parent: int
    layer: int
    scale: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("parent", self.parent), ("layer", self.layer)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise RecipeError(f"the {name} of a hop is {value!r}; expected a whole number from 0 on")
        check_scale(self.scale, f"layer {self.layer} of parent {self.parent}")
        object.__setattr__(self, "scale", float(self.scale))


@dataclass(frozen=True)
class Stretch:
    """Hops through consecutive layers `start` to `stop` (exclusive) of one parent."""

    parent: int
    start: int
    stop: int

    @property
    def n_layers(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class LayerPath:
    """At least one hop, in order of data flow. A layer may come several times; each hop has a KV cache of its own."""

    hops: tuple[Hop, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.hops) <= MAX_HOPS:
            raise RecipeError(f"the path has {len(self.hops)} hops; expected 1 to {MAX_HOPS}")

    @property
    def n_hops(self) -> int:
        return len(self.hops)

    @property
    def scales(self) -> tuple[float, ...]:
        """One for each hop."""
        return tuple(hop.scale for hop in self.hops)

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Hops through each parent, from parent 0 to the last that the path passes."""
        found = Counter(hop.parent for hop in self.hops)
        return tuple(found[parent] for parent in range(max(found) + 1))

    @cached_property
    def stretches(self) -> tuple[Stretch, ...]:
        """The path as the fewest stretches of consecutive layers."""
        found: list[Stretch] = []
        for hop in self.hops:
            last = found[-1] if found else None
            if last is not None and (last.parent, last.stop) == (hop.parent, hop.layer):
                found[-1] = Stretch(last.parent, last.start, hop.layer + 1)
            else:
                found.append(Stretch(hop.parent, hop.layer, hop.layer + 1))
        return tuple(found)

    @property
    def n_repeats(self) -> int:
        """Hops through a layer that the path has passed before."""
        return self.n_hops - len({(hop.parent, hop.layer) for hop in self.hops})

    @property
    def n_skips(self) -> int:
        """How often layers are left out on the way forward in one parent."""
        return sum(b.parent == a.parent and b.start > a.stop for a, b in pairwise(self.stretches))

    @property
    def n_jumps(self) -> int:
        """How often the path goes to another parent, or back in the same one."""
        return len(self.stretches) - 1 - self.n_skips

    def sentence(self, names: Sequence[str]) -> str:
        """The path in plain language; `names` are the parents'."""
        shares = [f"{n} of {names[parent]}" for parent, n in enumerate(self.counts) if n]
        happening = ((self.n_repeats, "repeat"), (self.n_skips, "skip"), (self.n_jumps, "jump"))
        events = [counted(n, noun) for n, noun in happening if n]
        told = f"{joined(shares)}{', with ' if events else ''}{joined(events)}"
        return f"Path of {counted(self.n_hops, 'layer')}: {told}{self._route(names)}{self._span()}."

    def _route(self, names: Sequence[str]) -> str:
        if len(self.stretches) > MAX_STRETCHES:
            return ""
        return "; " + ", then ".join(f"{names[one.parent]} {_numbers(one)}" for one in self.stretches)

    def _span(self) -> str:
        low, high = f"{min(self.scales):.3g}", f"{max(self.scales):.3g}"
        return "" if low == high == "1" else f"; scales {low if low == high else f'{low} to {high}'}"


def check_scale(value: object, where: str) -> None:
    """RecipeError unless the residual stream can be multiplied with the value: it would be lost at 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise RecipeError(f"the scale before {where} is {value!r}; expected a finite number above 0")


def _numbers(one: Stretch) -> str:
    return str(one.start) if one.n_layers == 1 else f"{one.start}-{one.stop - 1}"
