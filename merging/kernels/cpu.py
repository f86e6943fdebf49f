"""The merge of one tensor on a CPU in one pass over memory. Imports numba.

Every element is read once from each model, merged in registers and written once. Results equal those of `merging.masks`
to the bit.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from merging.elements import Elements
from merging.kernels.loops import f4, i2, i4, merge_elements, rank_rows, u2, u4
from merging.kernels.passes import BLOCK_BITS, Lottery, Pass, RankedLottery, Window
from merging.masks import TINY_WEIGHT, shares_of
from merging.recipes import Dtype
from merging.threads import n_threads

T = TypeVar("T")

SPAN: Final = 1 << 20
"""Elements that one thread merges at a time: about a millisecond, and within one block of random words."""
LEAST_SPAN: Final = 1 << 16
"""As many at the end of a tensor, where threads wait for each other. A span costs Python a hundredth of a millisecond."""
RANKED_SPAN: Final = 1 << 17
"""The same where rows are sorted first: their ranks stay in the processor's cache."""
LONGEST_KEPT: Final = 1 << 16
"""Elements of a row whose ranks are kept: they fit 16 bits."""

SAMPLES: Final[dict[Dtype, Any]] = {"bfloat16": u2(0), "float16": i2(0), "float32": f4(0)}

INFINITE: Final[dict[Dtype, int]] = {"bfloat16": 0x7F7F8000, "float16": 0x477FF000, "float32": 0x7F800000}
"""Bits of the smallest float32 magnitude that is infinite in each dtype after rounding to nearest. NaN lies above."""


def knows(task: Pass) -> bool:
    """Whether its rules have been written for a CPU: all have."""
    return True


def merge(target: Elements, base: Elements | None, parents: Sequence[Elements], dtype: Dtype, task: Pass) -> bool:
    """Writes the merged tensor into `target` and tells whether all of it is finite.

    It is rounded to `dtype` first; `target` has this dtype or float32. All are of one shape.
    """
    out, below = target.words, None if base is None else base.words
    above = tuple(parent.words for parent in of_one_dtype(parents))
    numbers = _Numbers(task, dtype)

    def of_span(start: int, stop: int) -> int:
        ranks, worst = numbers.ranks(below, above, start, stop), 0
        for a, b in in_blocks(start, stop):
            here = slice(a, b)
            models = None if below is None else below[here], tuple(array[here] for array in above)
            of_ranks = ranks and tuple(of_parent[a - start : b - start] for of_parent in ranks)
            worst = max(worst, int(merge_elements(out[here], *models, *numbers.of_span(a, of_ranks))))
        return worst

    return max(in_threads(of_span, numbers.spans(len(out))), default=0) < INFINITE[dtype]


def ranks_of(base: Elements, parent: Elements, row: int) -> NDArray[np.uint16]:
    """The place of every element in its row by rising |parent - base|. Rows have at most `LONGEST_KEPT` elements. [n]"""
    below, above = base.words, parent.words
    found = np.empty(len(above), np.uint16)

    def of_span(start: int, stop: int) -> None:
        rank_rows(below[start:stop], above[start:stop], row, None, None, found[start:stop])

    list(in_threads(of_span, spans_of_rows(len(above), row)))
    return found


def of_one_dtype(tensors: Sequence[Elements]) -> Sequence[Elements]:
    """A loop reads all parents alike: those of mixed dtypes become float32, which changes none of their values."""
    return tensors if len({tensor.dtype for tensor in tensors}) == 1 else [tensor.widened() for tensor in tensors]


def in_threads(work: Callable[[int, int], T], spans: Sequence[tuple[int, int]]) -> Iterator[T]:
    """`work(start, stop)` for spans of elements, in their order; in this thread when there is one."""
    if len(spans) < 2 or (n_at_once := n_threads()) == 1:
        return (work(*span) for span in spans)
    return _threads(os.getpid(), n_at_once).map(lambda span: work(*span), spans)


def equal_spans(n: int, size: int) -> list[tuple[int, int]]:
    """All n elements in pieces of one size."""
    return [(start, min(n, start + size)) for start in range(0, n, size)]


def tapering_spans(n: int) -> list[tuple[int, int]]:
    """The same, but the last ever smaller, so that no thread has long to wait for another's. Only for elements that are merged
    each by itself: where pieces are cut depends on the number of threads.
    """
    stops = [0]
    while (left := n - stops[-1]) > 0:
        size = min(SPAN, max(LEAST_SPAN, left // n_threads()))
        stops.append(n if left < size + LEAST_SPAN else stops[-1] + size)
    return list(itertools.pairwise(stops))


def spans_of_rows(n: int, row: int) -> list[tuple[int, int]]:
    """As many rows as are sorted at a time."""
    return equal_spans(n, max(1, RANKED_SPAN // row) * row)


def in_blocks(start: int, stop: int) -> Iterator[tuple[int, int]]:
    """The same elements in pieces that lie within one block of random words each."""
    size = 1 << BLOCK_BITS
    return itertools.pairwise((start, *range((start // size + 1) * size, stop, size), stop))


@lru_cache(maxsize=1)
def _threads(process: int, n: int) -> ThreadPoolExecutor:
    """A process that was forked has threads of its own."""
    return ThreadPoolExecutor(n, f"merge-{process}")


class _Numbers:
    """The arguments of `merge_elements` that are no elements. What is None is not compiled."""

    def __init__(self, task: Pass, dtype: Dtype) -> None:
        windows = [keep for keep in task.keep if isinstance(keep, Window)]
        lotteries = [keep for keep in task.keep if isinstance(keep, Lottery)]
        self._ranked = [keep for keep in task.keep if isinstance(keep, RankedLottery)]
        self._keys = [keep.keys for keep in lotteries] + [keep.keys for keep in self._ranked]
        is_bounded = any(window.high < math.inf for window in windows)
        total = sum(task.weights)
        is_divided = task.normalize and not task.elect and abs(total) >= TINY_WEIGHT
        shares = [shares_of(keep.row, keep.density, keep.epsilon) for keep in self._ranked]
        self._before = (
            tuple(f4(weight) for weight in possible_weights(task)),
            tuple(f4(window.low) for window in windows) or None,
            tuple(f4(window.high) for window in windows) if is_bounded else None,
            tuple(f4(lottery.divisor) for lottery in lotteries) or None,
            tuple(i4(lottery.last) for lottery in lotteries) or None,
        )
        self._shares = (
            tuple(f4(slope) for slope, _ in shares) or None,
            tuple(f4(floor) for _, floor in shares) or None,
            True if any(keep.rescale for keep in self._ranked) else None,
            None
            if all(_is_moderate(keep.row, *share) for keep, share in zip(self._ranked, shares, strict=True))
            else True,
        )
        self._after = (
            task.elect or None,
            (task.elect and task.normalize) or None,
            f4(total) if is_divided else None,
            f4(task.scale),
            SAMPLES[dtype],
        )

    def spans(self, n: int) -> list[tuple[int, int]]:
        """Whole rows where they are sorted."""
        is_sorting = any(keep.ranks is None for keep in self._ranked)
        return spans_of_rows(n, self._ranked[0].row) if is_sorting else tapering_spans(n)

    def ranks(self, base: Any, parents: Sequence[Any], start: int, stop: int) -> tuple[Any, ...] | None:
        """The ranks of each parent's magnitudes in their rows; None where no rule asks for them. [stop - start] each"""
        here = slice(start, stop)
        return (
            tuple(
                _ranks(base[here], parent[here], keep.row) if keep.ranks is None else keep.ranks[here]
                for keep, parent in zip(self._ranked, parents, strict=False)
            )
            or None
        )

    def of_span(self, start: int, ranks: tuple[Any, ...] | None) -> tuple[Any, ...]:
        """For elements from `start`, all in one block of random words."""
        block, position = start >> BLOCK_BITS, start % (1 << BLOCK_BITS)
        keys = tuple(tuple(u4(key ^ (key >> 16)) for key in of_parent[block]) for of_parent in self._keys)
        return (*self._before, keys or None, u4(position), ranks, *self._shares, *self._after)


def _ranks(base: Any, parent: Any, row: int) -> NDArray[Any]:
    found = np.empty(len(parent), np.uint16 if row <= LONGEST_KEPT else np.uint32)
    rank_rows(base, parent, row, None, None, found)
    return found


def _is_moderate(row: int, slope: float, floor: float) -> bool:
    """Whether all probabilities of a row lie in [2^-8, 1)."""
    return bool(f4(floor) >= 2**-8 and f4(f4(row - 1) * f4(slope)) + f4(floor) < 1)


def possible_weights(task: Pass) -> Iterator[float]:
    """The weights, but 0 for a parent of which no word is low enough to keep anything."""
    for i, weight in enumerate(task.weights):
        keep = task.keep[i] if task.keep else None
        yield 0.0 if isinstance(keep, Lottery) and keep.limit == 0 else weight
