"""Random masks that are a function of their address: (seed, tensor name, parent, element). Imports torch for masks only.

A generator with a state would give other masks when tensors come in another order or from another device. Here every
element hashes its own position, in 32-bit integer arithmetic that is exact everywhere, so a recipe has one set of masks
on every machine.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# Elements that share a key. Fixed: another size is another set of masks. 4M elements keep temporaries at 32 MB and
# launches few.
BLOCK = 1 << 22


@dataclass(frozen=True)
class Draws:
    """The random numbers of one tensor of one recipe."""

    seed: int
    tensor: str

    def keep(self, like: Tensor, share: float, parent: int) -> Tensor:
        """A bool mask of the shape and device of `like`, true with probability `share` to within 2^-32.

        The mask of a smaller share is part of that of a larger one.
        """
        import torch

        mask = torch.empty(like.numel(), dtype=torch.bool, device=like.device)
        if (limit := limit_of(share)) == 2**32:
            return mask.fill_(True).view(like.shape)
        for number, block in enumerate(torch.split(mask, BLOCK)):
            torch.lt(self._bits(block, parent, number), limit - 2**31, out=block)
        return mask.view(like.shape)

    def keep_each(self, probabilities: Tensor, parent: int) -> Tensor:
        """A bool mask, true with each element's own probability (float32, 0 to 1) to within 2^-32.

        The same random numbers as `keep`: equal probabilities give the same mask.
        """
        import torch

        mask = torch.empty(probabilities.numel(), dtype=torch.bool, device=probabilities.device)
        blocks = zip(torch.split(mask, BLOCK), torch.split(probabilities.flatten(), BLOCK), strict=True)
        for number, (block, share) in enumerate(blocks):
            torch.lt(self._bits(block, parent, number), limits_of(share), out=block)
        return mask.view(probabilities.shape)

    def keys(self, parent: int, block: int) -> tuple[int, int]:
        """What the random words of a block are mixed with: two 32-bit words."""
        address = f"{self.seed}/{self.tensor}/{parent}/{block}".encode()
        first, second = struct.unpack("<II", hashlib.sha256(address).digest()[:8])
        return first, second

    def _bits(self, block: Tensor, parent: int, number: int) -> Tensor:
        """Uniform int32, one for each element of the block."""
        import torch

        first, second = self.keys(parent, number)
        x = torch.arange(block.numel(), dtype=torch.int32, device=block.device)
        return _mix(_mix(x ^ _signed(first)) ^ _signed(second))


def limit_of(share: float) -> int:
    """Words below it, as numbers in [0, 2^32), win with probability `share` to within 2^-32."""
    return round(share * 2**32)


def limits_of(shares: Tensor) -> Tensor:
    """`limit_of` each of the shares (float32, 0 to 1), for words as signed numbers. float64, exact"""
    return shares.double().mul_(2**32).round_().sub_(2**31)


def _mix(x: Tensor) -> Tensor:
    """A bijection of 32-bit words, in place, in which every input bit flips every output bit with probability near 1/2.

    The multipliers and shifts are "lowbias32" of C. Wellons, https://nullprogram.com/blog/2018/07/31/ (bias 0.17). Two
    rounds with two keys cost 2.4 ns an element on one core, less than torch's own generator (2.8 ns), which is bound to
    one device.
    """
    x ^= _shift_right(x, 16)
    x *= 0x7FEB352D
    x ^= _shift_right(x, 15)
    x *= 0x846CA68B - 2**32
    x ^= _shift_right(x, 16)
    return x


def _signed(word: int) -> int:
    return word - 2**32 if word >= 2**31 else word


def _shift_right(x: Tensor, n: int) -> Tensor:
    """Logical shift; torch's own copies the sign."""
    return (x >> n).bitwise_and_((1 << (32 - n)) - 1)
