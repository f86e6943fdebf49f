"""The merge of one tensor on a CPU in one pass over memory. Imports torch and numba.

Every element is read once from each model, merged in registers and written once. Results equal those of `merging.masks`
to the bit. A combination of method, dtypes and number of parents is compiled when it first comes, in about two seconds,
and kept on disk.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Final, TypeVar

import numpy as np
import torch
from numba import njit, types
from numba.extending import overload
from torch import Tensor

from merging.kernels.passes import BLOCK_BITS, Lottery, Pass, Window
from merging.masks import TINY_WEIGHT

T = TypeVar("T")

SPAN: Final = 1 << 20
"""Elements that one thread merges at a time: about a millisecond, and within one block of random words."""

# Kernels see tensors as NumPy arrays, which know no bfloat16 and compute in no float16: the first come as unsigned, the
# second as signed 16-bit words.
f4, i2, i4, u2, u4 = np.float32, np.int16, np.int32, np.uint16, np.uint32
_WORDS: Final = {torch.bfloat16: torch.uint16, torch.float16: torch.int16, torch.float32: torch.float32}
_SAMPLES: Final = {torch.bfloat16: u2(0), torch.float16: i2(0), torch.float32: f4(0)}

_INFINITE: Final = {torch.bfloat16: 0x7F7F8000, torch.float16: 0x477FF000, torch.float32: 0x7F800000}
"""Bits of the smallest float32 magnitude that is infinite in each dtype after rounding to nearest. NaN lies above."""


def merge(target: Tensor, base: Tensor | None, parents: Sequence[Tensor], dtype: torch.dtype, task: Pass) -> bool:
    """Writes the merged tensor into `target` and tells whether all of it is finite.

    It is rounded to `dtype` first; `target` has this dtype or float32. All tensors are contiguous and of one shape, the
    parents of one dtype. Uses as many threads as torch may.
    """
    out, below = as_array(target), None if base is None else as_array(base)
    above = tuple(as_array(parent) for parent in parents)
    numbers = _Numbers(task, dtype)

    def of_span(start: int, stop: int) -> int:
        here = slice(start, stop)
        models = None if below is None else below[here], tuple(array[here] for array in above)
        return int(_merge_elements(out[here], *models, *numbers.of_span(start)))

    return max(in_threads(of_span, target.numel()), default=0) < _INFINITE[dtype]


def as_array(tensor: Tensor) -> Any:
    """The elements in order of memory, without a copy, as kernels take them. [n]"""
    return tensor.detach().view(-1).view(_WORDS[tensor.dtype]).numpy()


def in_threads(work: Callable[[int, int], T], n: int, size: int = SPAN) -> Iterator[T]:
    """`work(start, stop)` for pieces of n elements, in their order; in this thread when there is one piece."""
    spans = [(start, min(n, start + size)) for start in range(0, n, size)]
    if len(spans) < 2 or torch.get_num_threads() == 1:
        return (work(*span) for span in spans)
    return _threads(os.getpid(), torch.get_num_threads()).map(lambda span: work(*span), spans)


@lru_cache(maxsize=1)
def _threads(process: int, n: int) -> ThreadPoolExecutor:
    """A process that was forked has threads of its own."""
    return ThreadPoolExecutor(n, f"merge-{process}")


class _Numbers:
    """The arguments of `_merge_elements` that are no tensors. What is None is not compiled."""

    def __init__(self, task: Pass, dtype: torch.dtype) -> None:
        windows = [keep for keep in task.keep if isinstance(keep, Window)]
        self._lotteries = [keep for keep in task.keep if isinstance(keep, Lottery)]
        is_bounded = any(window.high < math.inf for window in windows)
        total = sum(task.weights)
        is_divided = task.normalize and not task.elect and abs(total) >= TINY_WEIGHT
        self._before = (
            tuple(f4(weight) for weight in _possible_weights(task)),
            tuple(f4(window.low) for window in windows) or None,
            tuple(f4(window.high) for window in windows) if is_bounded else None,
            tuple(f4(lottery.density) for lottery in self._lotteries) or None,
            tuple(i4(lottery.last) for lottery in self._lotteries) or None,
        )
        self._after = (
            task.elect or None,
            (task.elect and task.normalize) or None,
            f4(total) if is_divided else None,
            f4(task.scale),
            _SAMPLES[dtype],
        )

    def of_span(self, start: int) -> tuple[Any, ...]:
        """For elements from `start`, all in one block of random words."""
        block, position = start >> BLOCK_BITS, start % (1 << BLOCK_BITS)
        keys = tuple((u4(lottery.keys[block][0]), u4(lottery.keys[block][1])) for lottery in self._lotteries)
        return (*self._before, keys or None, u4(position), *self._after)


def _possible_weights(task: Pass) -> Iterator[float]:
    """The weights, but 0 for a parent of which no word is low enough to keep anything."""
    for i, weight in enumerate(task.weights):
        keep = task.keep[i] if task.keep else None
        yield 0.0 if isinstance(keep, Lottery) and keep.limit == 0 else weight


def _compiler() -> Any:
    """`njit` for kernels: without the GIL, IEEE arithmetic only, cached wherever a folder can be written to."""
    options: dict[str, bool | str] = {"nogil": True, "error_model": "numpy"}
    try:
        njit(cache=True, **options)(lambda: None)
    except RuntimeError:  # a read-only installation and no home
        return njit(**options)
    return njit(cache=True, **options)


compiled: Final = _compiler()
inlined: Final = njit(forceinline=True, error_model="numpy")


@compiled
def _merge_elements(
    target: Any,
    base: Any,
    parents: Any,
    weights: Any,
    lows: Any,
    highs: Any,
    densities: Any,
    lasts: Any,
    keys: Any,
    position: Any,
    elect: Any,
    count: Any,
    divisor: Any,
    scale: Any,
    sample: Any,
) -> Any:
    """The bits of the largest magnitude that was written. Tuples have one entry for each parent; the loop over them unrolls."""
    worst = u4(0)
    for j in range(len(target)):
        b = f4(0) if base is None else widen(base[j])
        plus, minus, plus_weights, minus_weights = f4(0), f4(0), f4(0), f4(0)
        for i in range(len(parents)):
            tau = widen(parents[i][j]) if base is None else widen(parents[i][j]) - b
            weight, dropped = weights[i], weights[i] * f4(0)
            if lows is not None:
                weight = weight if abs(tau) >= lows[i] else dropped
            if highs is not None:
                weight = weight if abs(tau) <= highs[i] else dropped
            if keys is not None:
                word = _mixed(_mixed(u4(position) + u4(j), keys[i][0]), keys[i][1])
                weight = weight if i4(word) <= lasts[i] else dropped
                tau = tau / densities[i]
            s = tau * weight
            p, n = s, f4(0)
            if elect is not None:
                p, n = f4(0) if s < 0 else s, f4(0) if s > 0 else s  # NaN stays NaN
            plus, minus = (p, n) if i == 0 else (plus + p, minus + n)
            if count is not None:
                plus_weights += weights[i] if s > 0 else f4(0)
                minus_weights += weights[i] if s < 0 else f4(0)
        mixed = plus
        if elect is not None:
            is_plus = plus + minus >= 0
            mixed = plus if is_plus else minus
            if count is not None:
                agreeing = plus_weights if is_plus else minus_weights
                mixed = mixed / (agreeing if abs(agreeing) >= f4(TINY_WEIGHT) else f4(1))
        if divisor is not None:
            mixed = mixed / divisor
        value = mixed if base is None else b + scale * mixed
        worst = max(worst, u4(bits_of(value) & u4(0x7FFFFFFF)))
        store(target, j, narrowed(value, sample))
    return worst


@inlined
def _mixed(word: Any, key: Any) -> Any:
    """`merging.draws._mix`, a round of lowbias32, of word ^ key. Each step says that it is 32 bits wide, or it would not be."""
    x = u4(u4(word) ^ key)
    x = u4(x ^ (x >> u4(16)))
    x = u4(x * u4(0x7FEB352D))
    x = u4(x ^ (x >> u4(15)))
    x = u4(x * u4(0x846CA68B))
    return u4(x ^ (x >> u4(16)))


@inlined
def bits_of(x: Any) -> Any:
    """Of a float32."""
    return f4(x).view(u4)


@inlined
def float_of(bits: Any) -> Any:
    """The float32 that has these bits."""
    return u4(bits).view(f4)


def widen(word: Any) -> Any:
    """The float32 of an element as it is stored; exact. Only inside kernels."""
    raise NotImplementedError


@overload(widen, strict=False)
def _widen(word: Any) -> Any:
    if word == types.uint16:
        return lambda word: float_of(u4(word) << u4(16))
    if word == types.int16:
        return lambda word: _float16_widened(u4(u2(word)))
    return lambda word: word


def narrowed(value: Any, sample: Any) -> Any:
    """A float32 rounded to the nearest, ties to even, of what `sample` stores; any word for NaN. Only inside kernels."""
    raise NotImplementedError


@overload(narrowed, strict=False)
def _narrowed(value: Any, sample: Any) -> Any:
    if sample == types.uint16:
        return lambda value, sample: _bfloat16_rounded(bits_of(value))
    if sample == types.int16:
        return lambda value, sample: _float16_rounded(bits_of(value))
    return lambda value, sample: value


def store(target: Any, j: Any, word: Any) -> Any:
    """Writes a word, or its float32 where the target is float32. Only inside kernels."""
    raise NotImplementedError


@overload(store, strict=False)
def _store(target: Any, j: Any, word: Any) -> Any:
    if target.dtype == word:

        def as_it_is(target: Any, j: Any, word: Any) -> Any:
            target[j] = word

        return as_it_is

    def as_float32(target: Any, j: Any, word: Any) -> Any:
        target[j] = widen(word)

    return as_float32


@inlined
def _bfloat16_rounded(bits: Any) -> Any:
    return u2(u4(bits + u4(0x7FFF) + ((bits >> u4(16)) & u4(1))) >> u4(16))


@inlined
def _float16_widened(word: Any) -> Any:
    """Normal numbers get another exponent, infinity and NaN the highest; of subnormal ones the multiplication makes normal ones."""
    magnitude = u4(word & u4(0x7FFF))
    shifted = u4(magnitude << u4(13))
    scaled = float_of(shifted) * f4(2.0**112)  # exponents are 15 there and 127 here
    bits = u4(shifted | u4(0x7F800000)) if magnitude >= u4(0x7C00) else bits_of(scaled)
    return float_of(bits | u4(u4(word & u4(0x8000)) << u4(16)))


@inlined
def _float16_rounded(bits: Any) -> Any:
    """Subnormal numbers are rounded by an addition that leaves just their bits; what is too large becomes infinite."""
    magnitude = u4(bits & u4(0x7FFFFFFF))
    subnormal = u4(bits_of(float_of(magnitude) + f4(0.5)) - u4(0x3F000000))
    normal = u4(u4(magnitude - u4(0x38000000) + u4(0xFFF) + ((magnitude >> u4(13)) & u4(1))) >> u4(13))
    word = subnormal if magnitude < u4(0x38800000) else normal
    word = u4(0x7C00) if magnitude >= u4(0x477FF000) else word
    return i2(u2(word | u4(u4(bits & u4(0x80000000)) >> u4(16))))
