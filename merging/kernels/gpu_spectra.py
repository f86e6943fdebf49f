"""What `spectra.Spectrum` tells, for task vectors on a GPU and by torch's own operations, on any device. Imports torch and numba."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from merging.elements import rounded
from merging.kernels.loops import N_BINS, N_WORDS
from merging.recipes import Dtype

PIECE: Final = 1 << 25
"""Elements whose magnitudes exist at a time: with what sorting them takes, about a gigabyte."""
SHARE_KEPT: Final = 32
"""One of so many elements may have a magnitude of its own; they are kept at 12 bytes each, in the memory of the machine."""


class GpuSpectrum:
    """The magnitudes of parent - base: all different ones once it was looked into, unless they are too many to keep."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._kept: tuple[NDArray[np.int32], NDArray[np.int64]] | None = None

    def look_into_all(self, base: Tensor, parent: Tensor) -> None:
        """Counts the different magnitudes, piece by piece."""
        room = max(N_WORDS // 4, self._n // SHARE_KEPT)
        values = torch.empty(0, dtype=torch.int32, device=base.device)
        counts = torch.empty(0, dtype=torch.int64, device=base.device)
        for bits in _pieces(base, parent):
            more = torch.unique(bits, return_counts=True)
            both = torch.cat([values, more[0]]), torch.cat([counts, more[1]])
            values, places = torch.unique(both[0], return_inverse=True)  # rising
            counts = torch.zeros_like(values, dtype=torch.int64).index_add_(0, places, both[1])
            if len(values) > room:
                return
        self._kept = values.cpu().numpy(), counts.cumsum(0).cpu().numpy()

    def nth_largest(self, n: int, base: Tensor, parent: Tensor, dtype: Dtype = "float32") -> float:
        """See `AnySpectrum`."""
        return rounded(np.array([self._bits_at(n, base, parent)], np.uint32).view(np.float32), dtype).item()

    def _bits_at(self, n: int, base: Tensor, parent: Tensor) -> int:
        place = self._n - n  # from 0, the smallest first
        if self._kept is not None:
            values, up_to = self._kept
            return int(values[np.searchsorted(up_to, place, side="right")])
        number, place = _found(place, (bits >> 16 for bits in _pieces(base, parent)), N_BINS)
        word, _ = _found(place, (bits[bits >> 16 == number] & 0xFFFF for bits in _pieces(base, parent)), N_WORDS)
        return number << 16 | word


def _pieces(base: Tensor, parent: Tensor) -> Iterator[Tensor]:
    """The bits of |tau| of all elements, as numbers that have the same order."""
    for below, above in zip(torch.split(base.view(-1), PIECE), torch.split(parent.view(-1), PIECE), strict=True):
        yield (above.float() - below.float()).abs_().view(torch.int32)


def _found(place: int, numbers: Iterator[Tensor], n: int) -> tuple[int, int]:
    """Which of n numbers stands at a place, from 0, when they are sorted, and at which place among its equals."""
    counts = torch.stack([torch.bincount(piece, minlength=n) for piece in numbers]).sum(0)
    up_to = counts.cumsum(0).cpu().numpy()
    number = int(np.searchsorted(up_to, place, side="right"))
    return number, place - (int(up_to[number - 1]) if number else 0)
