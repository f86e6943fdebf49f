"""How many elements of a task vector have each magnitude: exact thresholds for every density from one count. Imports numba.

The order of float32 magnitudes is the order of their bits. A histogram of the leading ones, 32,768 bins, tells in which
bin the n-th largest lies, and the trailing bits of that bin's elements tell the rest. Models stored in 16 bits have so few
different magnitudes, one for 100 to 1,000 elements of a large matrix, that all of them can be counted and kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from merging.elements import AnyTensor, Elements, rounded
from merging.kernels.cpu import LONGEST_KEPT, SAMPLES, SPAN, equal_spans, in_threads, ranks_of
from merging.kernels.loops import N_BINS, N_WORDS, PIECE, count_different, count_magnitudes, gather_words
from merging.masks import row_of
from merging.plans import TensorOf
from merging.recipes import Dtype, Parent
from merging.threads import n_threads

MOST_KEPT: Final = 1 << 17
"""Different magnitudes, at 8 bytes each. One of 65 M elements in bfloat16 has half as many."""


class AnySpectrum(Protocol):
    """The magnitudes of a task vector, whose base and parent are asked for again: those of one device, however it keeps them."""

    def nth_largest(self, n: int, base: Any, parent: Any, dtype: Dtype = "float32") -> float:
        """The n-th largest magnitude, counted from 1, as `dtype` stores it: rounding changes no order."""
        ...

    def look_into_all(self, base: Any, parent: Any) -> None:
        """Counts every different magnitude, unless there are too many to keep."""
        ...


class Spectra:
    """The spectra of tensors that are merged many times: counted once, then thresholds read no tensor.

    And the ranks of magnitudes in their rows, 2 bytes an element, as far as they fit into `max_bytes`.
    """

    def __init__(self, max_bytes: int = 0) -> None:
        self._kept: dict[tuple[TensorOf, TensorOf], AnySpectrum] = {}
        self._ranks: dict[tuple[TensorOf, TensorOf], NDArray[np.uint16]] = {}
        self._n_left = max_bytes

    def of(self, base_of: TensorOf, parent_of: TensorOf, base: AnyTensor, parent: AnyTensor) -> AnySpectrum:
        """The spectrum of parent - base, two tensors and where they are from."""
        if (base_of, parent_of) not in self._kept:
            counted = spectrum(parent)
            counted.look_into_all(base, parent)
            self._kept[base_of, parent_of] = counted
        return self._kept[base_of, parent_of]

    def ranks_of(
        self, base_of: TensorOf, parent_of: TensorOf, base: Elements, parent: Elements
    ) -> NDArray[np.uint16] | None:
        """The ranks of parent - base, see `cpu.ranks_of`; None where there is no room, or a row is too long."""
        row, n_bytes = max(1, row_of(parent.shape)), 2 * len(parent.words)
        if (base_of, parent_of) not in self._ranks and row <= LONGEST_KEPT and n_bytes <= self._n_left:
            self._ranks[base_of, parent_of] = ranks_of(base, parent, row)
            self._n_left -= n_bytes
        return self._ranks.get((base_of, parent_of))

    def forget(self, parent: Parent) -> None:
        """A model leaves."""
        self._kept = {key: kept for key, kept in self._kept.items() if parent not in (key[0].parent, key[1].parent)}
        for key in [key for key in self._ranks if parent in (key[0].parent, key[1].parent)]:
            self._n_left += self._ranks.pop(key).nbytes


class Spectrum:
    """The magnitudes of parent - base. Both are needed again for thresholds, unless all was looked into and kept."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._bins: dict[Dtype, NDArray[np.uint32]] = {}
        self._different: tuple[NDArray[np.uint32], NDArray[np.int64]] | None = None

    def nth_largest(self, n: int, base: Elements, parent: Elements, dtype: Dtype = "float32") -> float:
        """See `AnySpectrum`."""
        place = self._n - n  # from 0, the smallest first
        if self._different is not None:
            bits = _at(place, *self._different)
        elif dtype == "bfloat16":  # of which a bin is one magnitude
            bits = self._bin_of(place, base, parent, dtype)[0] << 16
        else:
            bits = self._looked_up(place, base, parent)
        return rounded(np.array([bits], np.uint32).view(np.float32), dtype).item()

    def look_into_all(self, base: Elements, parent: Elements) -> None:
        """Counts every different magnitude, unless there are too many to keep."""
        below, above = base.words, parent.words
        n_places = 1 << min(2 * MOST_KEPT, 2 * self._n + 1).bit_length() - 1

        def of_span(start: int, stop: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]] | None:
            seen, counts = np.zeros(n_places, np.uint32), np.zeros(n_places, np.uint32)
            n = count_different(below[start:stop], above[start:stop], seen, counts, min(MOST_KEPT, self._n))
            return (seen[seen > 0], counts[seen > 0]) if n >= 0 else None

        found = list(in_threads(of_span, _shares(self._n)))
        whole = [pair for pair in found if pair is not None]
        if len(whole) == len(found):
            self._different = _joined([seen for seen, _ in whole], [counts for _, counts in whole])

    def _looked_up(self, place: int, base: Elements, parent: Elements) -> int:
        """The bits of the magnitude at a place: in which bin, and where in it."""
        below, above = base.words, parent.words
        number, place = self._bin_of(place, base, parent, "float32")

        def words_of(start: int, stop: int) -> NDArray[np.int64]:
            words = np.empty(stop - start + 1, np.uint16)
            room = np.empty(PIECE, np.uint32)
            n = gather_words(below[start:stop], above[start:stop], np.uint32(number), words, room)
            return np.bincount(words[:n], minlength=N_WORDS)

        words = np.cumsum(sum(in_threads(words_of, _shares(self._n)), np.zeros(N_WORDS, np.int64)))
        return number << 16 | int(np.searchsorted(words, place, side="right"))

    def _bin_of(self, place: int, base: Elements, parent: Elements, dtype: Dtype) -> tuple[int, int]:
        """The number of the bin in which the magnitude at a place lies, once all are rounded, and its place there."""
        below, above = base.words, parent.words

        def bins_of(start: int, stop: int) -> NDArray[np.uint32]:
            counts, step = np.zeros(N_BINS, np.uint32), None if dtype == "float32" else SAMPLES[dtype]
            count_magnitudes(below[start:stop], above[start:stop], step, counts, np.empty(PIECE, np.uint32))
            return counts

        if dtype not in self._bins:
            counts = sum(in_threads(bins_of, _shares(self._n)), np.zeros(N_BINS, np.int64))
            self._bins[dtype] = np.cumsum(counts).astype(np.uint32)
        bins = self._bins[dtype]
        number = int(np.searchsorted(bins, place, side="right"))
        return number, place - (int(bins[number - 1]) if number else 0)


def spectrum(of: AnyTensor) -> AnySpectrum:
    """Of a task vector of such a tensor, on any device."""
    if isinstance(of, Elements):
        return Spectrum(len(of.words))
    from merging.kernels.gpu_spectra import GpuSpectrum  # which imports torch

    return GpuSpectrum(of.numel())


def _shares(n: int) -> list[tuple[int, int]]:
    """Elements for each thread, but not so few that a table for them is not worth it."""
    return equal_spans(n, max(SPAN, -(-n // n_threads())))


def _joined(
    seen: Sequence[NDArray[np.uint32]], counts: Sequence[NDArray[np.uint32]]
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The bits of all magnitudes in rising order, and how many elements have each of them or a smaller one."""
    bits, which = np.unique(np.concatenate(seen) & np.uint32(0x7FFFFFFF), return_inverse=True)
    each = np.bincount(which, weights=np.concatenate(counts), minlength=len(bits))
    return bits, np.cumsum(each.astype(np.int64))


def _at(place: int, bits: NDArray[np.uint32], up_to: NDArray[np.int64]) -> int:
    return int(bits[np.searchsorted(up_to, place, side="right")])
