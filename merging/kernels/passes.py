"""One tensor's merge as plain numbers, for the kernels of every device. No torch, no method.

The elementwise methods differ in what they keep of a task vector and in whether elements elect a sign. Everything else is
one sum, so one kernel for each kind of processor serves them all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK_BITS: Final = 22
"""Elements of a tensor that share the keys of their random words: 2^22, as in `merging.draws`."""

Keys = tuple[tuple[int, int], ...]
"""Two 32-bit keys for each block of a tensor."""


@dataclass(frozen=True)
class Window:
    """Keeps elements with `low` <= |tau| <= `high`."""

    low: float
    high: float = math.inf


@dataclass(frozen=True)
class Lottery:
    """Keeps an element whose random word is below `limit`, and divides it by `divisor`.

    A word is a number in [0, 2^32); `limit` lies in [0, 2^32].
    """

    limit: int
    divisor: float
    keys: Keys

    @property
    def last(self) -> int:
        """The largest word that wins, as a signed number; of no use when `limit` is 0."""
        return max(self.limit - 1, 0) - 2**31


@dataclass(frozen=True)
class RankedLottery:
    """Keeps an element with a probability that rises with the rank of its magnitude in its row of `row` elements, as
    `merging.masks.keep_ranked` says; with `rescale` what is kept is divided by it.

    `ranks` of all elements, when they are known. [n]
    """

    density: float
    epsilon: float
    rescale: bool
    row: int
    keys: Keys
    ranks: NDArray[np.uint16] | None = field(default=None, compare=False)


Keep = Window | Lottery | RankedLottery


@dataclass(frozen=True)
class Pass:
    """base + scale x mixed, where mixed is the sum of the weighted task vectors, of what is kept of them.

    `keep` has a rule for each parent, all of one kind, or is empty: everything is kept. `elect`: per element only what
    has the sign of the larger sum takes part. `normalize`: mixed is divided by the sum of the weights that took part.
    Without a base the parents themselves are summed, and `scale` is not used.
    """

    weights: tuple[float, ...]
    keep: tuple[Keep, ...] = ()
    elect: bool = False
    normalize: bool = False
    scale: float = 1.0


class Keepers(Protocol):
    """What `merging.masks.keep_...` keeps of a tensor's task vectors, by the number of the parent, as rules for a kernel."""

    def largest(self, parent: int, density: float) -> Keep: ...

    def middle(self, parent: int, density: float, gamma: float) -> Keep: ...

    def random(self, parent: int, density: float, rescale: bool) -> Keep: ...

    def ranked(self, parent: int, density: float, epsilon: float, rescale: bool) -> Keep: ...

    def products(self) -> NDArray[np.float64]:
        """What `merging.spheres.products` says, of all parents over the base if there is one."""
        ...


def over_base(
    values: Sequence[Mapping[str, float]], settings: Mapping[str, float | bool], keep: Sequence[Keep], elect: bool
) -> Pass:
    """The pass of the methods that share `weight`, `normalize` and `lambda`."""
    weights = tuple(value["weight"] for value in values)
    return Pass(weights, tuple(keep), elect, bool(settings["normalize"]), settings["lambda"])
