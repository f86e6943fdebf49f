"""How many elements of a task vector have each magnitude: exact thresholds for every density from one count. Imports torch and
numba.

The order of float32 magnitudes is the order of their bits. A histogram of the leading ones, 32,768 bins, tells in which
bin the n-th largest lies, and the trailing bits of that bin's elements, of which models stored in 16 bits have few
different ones, tell the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from merging.kernels.cpu import SPAN, as_array, in_threads
from merging.kernels.loops import N_BINS, N_WORDS, count_magnitudes, gather_words, tally_words
from merging.plans import TensorOf
from merging.recipes import Parent

SHARE_KEPT: Final = 32
"""There may be one different magnitude for so many elements, or they are not kept: at 6 bytes each a tenth of a tensor's own
memory. Fine-tunes in bfloat16 have one for 100 to 1,000 in their large matrices."""


class Spectra:
    """The spectra of tensors that are merged many times: counted once, then thresholds read no tensor."""

    def __init__(self) -> None:
        self._kept: dict[tuple[TensorOf, TensorOf], Spectrum] = {}

    def of(self, base_of: TensorOf, parent_of: TensorOf, base: Tensor, parent: Tensor) -> Spectrum:
        """The spectrum of parent - base, two tensors and where they are from."""
        if (base_of, parent_of) not in self._kept:
            counted = Spectrum(base, parent)
            counted.look_into_all(base, parent)
            self._kept[base_of, parent_of] = counted
        return self._kept[base_of, parent_of]

    def forget(self, parent: Parent) -> None:
        """A model leaves."""
        self._kept = {key: kept for key, kept in self._kept.items() if parent not in (key[0].parent, key[1].parent)}


class Spectrum:
    """The magnitudes of parent - base, counted; both are needed again only for bins that were not looked into yet."""

    def __init__(self, base: Tensor, parent: Tensor) -> None:
        below, above = as_array(base), as_array(parent)

        def of_span(start: int, stop: int) -> NDArray[np.uint32]:
            counts = np.zeros(N_BINS, np.uint32)
            count_magnitudes(below[start:stop], above[start:stop], counts)
            return counts

        self._n = len(above)
        n_threads = torch.get_num_threads()
        counts = sum(in_threads(of_span, self._n, max(SPAN, -(-self._n // n_threads))), np.zeros(N_BINS, np.int64))
        self._bins = np.flatnonzero(counts).astype(np.uint16)  # those that have elements, by number
        self._up_to = np.cumsum(counts[self._bins])  # elements in each of them and all before
        self._room = max(N_WORDS // 4, self._n // SHARE_KEPT)
        self._seen: dict[int, _Words] = {}
        self._all: _Words | None = None

    def nth_largest(self, n: int, base: Tensor, parent: Tensor) -> float:
        """The n-th largest magnitude, counted from 1."""
        place = self._n - n  # from 0, the smallest first
        number = int(np.searchsorted(self._up_to, place, side="right"))
        place -= int(self._up_to[number - 1]) if number else 0
        word = (self._all or self._look_into(number, base, parent)).nth_smallest(number, place)
        return float(np.uint32(int(self._bins[number]) << 16 | word).view(np.float32))

    def look_into_all(self, base: Tensor, parent: Tensor) -> None:
        """Looks into every bin, unless there are too many different magnitudes to keep."""
        n_pieces = torch.get_num_threads() if self._n > SPAN else 1
        inner = np.searchsorted(self._up_to, [self._n * i // n_pieces for i in range(1, n_pieces)])
        edges = [0, *inner, len(self._bins)]

        def of_piece(piece: int, stop: int) -> _Words | None:
            return self._words(edges[piece], edges[stop], base, parent)

        pieces = [words for words in in_threads(of_piece, n_pieces, 1) if words is not None]
        if len(pieces) == n_pieces and sum(len(words.values) for words in pieces) <= self._room:
            self._all = _joined(pieces)

    def _words(self, first: int, stop: int, base: Tensor, parent: Tensor) -> _Words | None:
        """Of the bins from `first` to `stop`, in this thread; None when they do not fit."""
        stops = np.asarray(self._up_to[first:stop] - (self._up_to[first - 1] if first else 0), np.int64)
        words = np.empty(stops[-1] if len(stops) else 0, np.uint16)
        bins = self._bins[first:stop].astype(np.uint32)
        places = np.zeros(bins[-1] - bins[0] + 1 if len(bins) else 0, np.uint32)
        places[bins - bins[:1]] = np.append(0, stops)[:-1]
        gather_words(as_array(base), as_array(parent), bins[0] if len(bins) else np.uint32(0), places, words)
        return _tallied(words, stops, first, self._room)

    def _look_into(self, number: int, base: Tensor, parent: Tensor) -> _Words:
        if number not in self._seen:
            below, above = as_array(base), as_array(parent)

            def of_span(start: int, stop: int) -> NDArray[np.uint16]:
                words, places = np.empty(stop - start, np.uint16), np.zeros(1, np.uint32)
                gather_words(below[start:stop], above[start:stop], np.uint32(self._bins[number]), places, words)
                return words[: places[0]].copy()

            words = np.concatenate(list(in_threads(of_span, self._n, SPAN)))
            found = _tallied(words, np.array([len(words)]), number, N_WORDS)
            if found is None:
                raise RuntimeError(f"more than {N_WORDS} different words of 16 bits")
            if sum(len(words.values) for words in self._seen.values()) > self._room:
                self._seen.clear()
            self._seen[number] = found
        return self._seen[number]


@dataclass(frozen=True)
class _Words:
    """The different trailing words of some bins from number `first` on, rising in each bin, and how often each comes.

    Bin `first` + k has the values up to `stops[k]`.
    """

    first: int
    stops: NDArray[np.uint32]
    values: NDArray[np.uint16]
    counts: NDArray[np.uint32]

    def nth_smallest(self, number: int, place: int) -> int:
        """The word at a place, counted from 0, in a bin."""
        k = number - self.first
        here = slice(self.stops[k - 1] if k else 0, self.stops[k])
        return int(self.values[here][np.searchsorted(np.cumsum(self.counts[here]), place, side="right")])


def _tallied(words: NDArray[np.uint16], stops: NDArray[np.int64], first: int, room: int) -> _Words | None:
    values, counts = np.empty(room, np.uint16), np.empty(room, np.uint32)
    found = np.empty(len(stops), np.uint32)
    n = tally_words(words, stops, values, counts, found)
    return None if n < 0 else _Words(first, found, values[:n].copy(), counts[:n].copy())


def _joined(pieces: Sequence[_Words]) -> _Words:
    before = np.cumsum([0, *(len(words.values) for words in pieces)]).astype(np.uint32)
    return _Words(
        pieces[0].first,
        np.concatenate([words.stops + n for words, n in zip(pieces, before, strict=False)]),
        np.concatenate([words.values for words in pieces]),
        np.concatenate([words.counts for words in pieces]),
    )
