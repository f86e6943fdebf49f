"""The tile of elements that Triton compiles for a GPU. Imports triton, which comes with torch for CUDA and is not there otherwise.

What `loops.merge_elements` is to a CPU. Steps round one by one as they do there: the launch forbids fused multiply-adds, and
divisions are IEEE's. Arguments that are None are not compiled; tuples have one entry for each parent, and loops over them
unroll. bfloat16 comes as signed 16-bit words and is rounded by arithmetic on bits, four instructions of an element's
dozens, because Triton's interpreter, in which this is tested without a GPU, rounds halves away from zero instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import triton
import triton.language as tl

from merging.masks import TINY_WEIGHT

TINY = tl.constexpr(TINY_WEIGHT)


def compiled(kernel: Callable[..., Any]) -> Any:
    """When it is first called with a combination of dtypes and options, in about a second, and kept on disk."""
    return triton.jit(kernel)


@compiled
def merge_tile(
    target: tl.tensor,
    base: tl.tensor,
    parents: tl.tensor,
    weights: tl.tensor,
    lows: tl.tensor,
    highs: tl.tensor,
    divisors: tl.tensor,
    words: tl.tensor,
    total: tl.tensor,
    scale: tl.tensor,
    is_finite: tl.tensor,
    n: tl.tensor,
    elect: tl.constexpr,
    count: tl.constexpr,
    sample: tl.constexpr,
    infinite: tl.constexpr,
    n_shared: tl.constexpr,
    size: tl.constexpr,
) -> None:
    """Merges `size` elements; see `Pass` for the arithmetic. Clears `is_finite` if one of them is not.

    `words` come with `divisors` for lotteries: the last word that wins for each parent, then two keys for each parent and
    each `n_shared` elements: [1 + 2 blocks, parents]. `sample` is the type that the result is rounded to, and magnitudes
    whose bits are `infinite` or more become infinite there.
    """
    start = tl.program_id(0).to(tl.int64) * size
    places = tl.arange(0, size)
    inside = places < n - start
    n_parents: tl.constexpr = len(parents)
    b = 0.0
    if base is not None:
        b = widened(tl.load(base + start + places, mask=inside, other=0))
    plus = tl.zeros((size,), tl.float32)
    minus = tl.zeros((size,), tl.float32)
    plus_weights = tl.zeros((size,), tl.float32)
    minus_weights = tl.zeros((size,), tl.float32)
    for i in tl.static_range(n_parents):
        tau = widened(tl.load(parents[i] + start + places, mask=inside, other=0))
        if base is not None:
            tau = tau - b
        full = number(weights[i])
        weight = full
        dropped = full * 0.0
        if lows is not None:
            weight = tl.where(tl.abs(tau) >= number(lows[i]), weight, dropped)
        if highs is not None:
            weight = tl.where(tl.abs(tau) <= number(highs[i]), weight, dropped)
        if words is not None:
            keys = words + (1 + 2 * (start // n_shared)) * n_parents + i
            first = tl.load(keys).to(tl.uint32, bitcast=True)
            second = tl.load(keys + n_parents).to(tl.uint32, bitcast=True)
            position = (start % n_shared).to(tl.uint32) + places.to(tl.uint32)
            word = mixed(mixed(position, first), second).to(tl.int32, bitcast=True)
            weight = tl.where(word <= tl.load(words + i), weight, dropped)
            tau = tl.div_rn(tau, number(divisors[i]))
        s = tau * weight
        p = s
        m = s
        if elect:
            p = tl.where(s < 0, 0.0, s)  # NaN stays NaN
            m = tl.where(s > 0, 0.0, s)
        if i == 0:
            plus = p
            minus = m
        else:
            plus = plus + p
            minus = minus + m
        if count:
            plus_weights += tl.where(s > 0, full, 0.0)
            minus_weights += tl.where(s < 0, full, 0.0)
    value = plus
    if elect:
        is_plus = plus + minus >= 0
        value = tl.where(is_plus, plus, minus)
        if count:
            agreeing = tl.where(is_plus, plus_weights, minus_weights)
            value = tl.div_rn(value, tl.where(tl.abs(agreeing) >= TINY, agreeing, 1.0))
    if total is not None:
        value = tl.div_rn(value, number(total))
    if base is not None:
        value = b + value * number(scale)
    magnitudes = value.to(tl.int32, bitcast=True) & 0x7FFFFFFF
    tl.store(is_finite, False, mask=tl.max(tl.where(inside, magnitudes, 0)) >= infinite)
    word_of = narrowed(value, sample)
    if target.dtype.element_ty != sample:
        word_of = widened(word_of)
    tl.store(target + start + places, word_of, mask=inside)


@compiled
def number(given: tl.tensor) -> tl.tensor:
    """A number from outside as float32, which it is already, except very small ones in the interpreter."""
    return tl.cast(given, tl.float32)


@compiled
def mixed(word: tl.tensor, key: tl.tensor) -> tl.tensor:
    """`merging.draws._mix`, a round of lowbias32, of word ^ key."""
    x = word ^ key
    x = x ^ (x >> 16)
    x = x * 0x7FEB352D
    x = x ^ (x >> 15)
    x = x * 0x846CA68B
    return x ^ (x >> 16)


@compiled
def widened(word: tl.tensor) -> tl.tensor:
    """The float32 of elements as they are stored; exact."""
    if word.dtype == tl.int16:
        return (word.to(tl.int32) << 16).to(tl.float32, bitcast=True)
    return word.to(tl.float32)


@compiled
def narrowed(value: tl.tensor, sample: tl.constexpr) -> tl.tensor:
    """float32 rounded to the nearest, ties to even, of what `sample` stores; any word for NaN."""
    if sample == tl.int16:
        bits = value.to(tl.uint32, bitcast=True)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).to(tl.uint16).to(tl.int16, bitcast=True)
    return value.to(sample)
