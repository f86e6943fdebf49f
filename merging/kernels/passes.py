"""One tensor's merge as plain numbers, for the kernels of every device. No torch, no method.

The elementwise methods differ in what they keep of a task vector and in whether elements elect a sign. Everything else is
one sum, so one kernel for each kind of processor serves them all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

BLOCK_BITS: Final = 22
"""Elements of a tensor that share the keys of their random words: 2^22, as in `merging.draws`."""


@dataclass(frozen=True)
class Window:
    """Keeps elements with `low` <= |tau| <= `high`."""

    low: float
    high: float = math.inf


@dataclass(frozen=True)
class Lottery:
    """Keeps an element whose random word is below `limit`, and divides it by `density`.

    A word is a number in [0, 2^32); `limit` lies in [0, 2^32]. `keys` are two 32-bit keys for each block of the tensor.
    """

    density: float
    limit: int
    keys: tuple[tuple[int, int], ...]

    @property
    def last(self) -> int:
        """The largest word that wins, as a signed number; of no use when `limit` is 0."""
        return max(self.limit - 1, 0) - 2**31


@dataclass(frozen=True)
class RankedLottery:
    """Keeps an element of a row of n with probability p = `low` + rank / (n - 1) * `width`, and divides it by p.

    The rank is that of |tau| in its row, from 0, equal magnitudes in order of memory. A row of one has probability
    `low` + `width` / 2.
    """

    low: float
    width: float
    row: int
    keys: tuple[tuple[int, int], ...]


Keep = Window | Lottery | RankedLottery


@dataclass(frozen=True)
class Pass:
    """base + scale x mixed, where mixed is the sum of the weighted task vectors, of what is kept of them.

    `keep` has a rule for each parent, all of one kind, or is empty: everything is kept. `elect`: per element only what
    has the sign of the larger sum takes part. `normalize`: mixed is divided by the sum of the weights that took part.
    Without a base the parents themselves are summed, and `scale` is not used.
    """

    weights: tuple[float, ...]
    keep: tuple[Keep, ...]
    elect: bool
    normalize: bool
    scale: float
