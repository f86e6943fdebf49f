"""The loops over elements that numba compiles for a CPU. They know arrays and numbers, neither tensors nor methods.

Every loop is compiled when a combination of dtypes and options first comes, in about half a second, and kept on disk. All
of them stand in this one file, because numba notices a change only in the file of the function itself.

Arrays hold elements as they are stored. NumPy knows no bfloat16 and numba computes in no float16: the first come as
unsigned, the second as signed 16-bit words. Arguments that are None are not compiled; tuples have one entry for each
parent, and loops over them unroll.

A loop that makes no arrays, which are handed to it instead, is loaded 0.03 s sooner: numba need not know how to make them.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import types
from numba.extending import intrinsic

from merging.kernels.compiling import chosen_by_type, compiled, inlined
from merging.masks import TINY_WEIGHT
from merging.peer_draws import MT_WORDS

f4, f8, i2, i4, u1 = np.float32, np.float64, np.int16, np.int32, np.uint8
u2, u4, u8 = np.uint16, np.uint32, np.uint64

N_BINS: Final = 1 << 15
"""Of a histogram of float32 magnitudes by their leading bits: the exponent and seven bits of the fraction."""
N_WORDS: Final = 1 << 16
"""Magnitudes in one bin."""
PIECE: Final = 4096
"""Elements that stay in the processor's first cache between two loops."""
MT_SHIFT: Final = 397
LANES: Final = 8
N_VECTORS: Final = 4
ROW: Final = LANES * N_VECTORS
LEVELS: Final = 4
N_ROWS: Final = 16
"""Of sums, as torch adds them up."""
DIGIT_BITS: Final = 11
"""Of a magnitude, by which one round of sorting orders; 31 bits are three digits."""


@compiled
def merge_elements(
    target: Any,
    base: Any,
    parents: Any,
    weights: Any,
    lows: Any,
    highs: Any,
    divisors: Any,
    lasts: Any,
    keys: Any,
    position: Any,
    ranks: Any,
    slopes: Any,
    floors: Any,
    divides: Any,
    extremes: Any,
    elect: Any,
    count: Any,
    total: Any,
    scale: Any,
    sample: Any,
) -> Any:
    """Merges and returns the bits of the largest magnitude that was written; see `Pass` for the arithmetic.

    `keys`, folded, come with `lasts` and `divisors` for lotteries, or with `ranks`, `slopes`, `floors`, `divides` and `extremes`
    by rank.
    """
    worst = u4(0)
    for j in range(len(target)):
        b = f4(0) if base is None else widen(base[j])
        place = folded(u4(u4(position) + u4(j)))
        plus, minus, plus_weights, minus_weights = f4(0), f4(0), f4(0), f4(0)
        for i in range(len(parents)):
            tau = widen(parents[i][j]) if base is None else widen(parents[i][j]) - b
            weight, dropped = weights[i], weights[i] * f4(0)
            if lows is not None:
                weight = weight if abs(tau) >= lows[i] else dropped
            if highs is not None:
                weight = weight if abs(tau) <= highs[i] else dropped
            if keys is not None:
                word = _unfolded_word(place, keys[i])
                if lasts is not None:
                    weight = weight if is_folded_at_most(word, lasts[i]) else dropped
                    tau = tau / divisors[i]
                if ranks is not None:
                    share = f4(f4(ranks[i][j]) * slopes[i]) + floors[i]
                    kept = tau if divides is None else tau / share
                    tau = kept if _wins(folded(word), share, extremes) else f4(0)
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
        if total is not None:
            mixed = mixed / total
        value = mixed if base is None else b + scale * mixed
        worst = max(worst, u4(bits_of(value) & u4(0x7FFFFFFF)))
        store(target, j, narrowed(value, sample))
    return worst


@compiled
def merge_as_peer(
    target: Any,
    base: Any,
    parents: Any,
    weights: Any,
    lows: Any,
    highs: Any,
    masks: Any,
    factors: Any,
    elect: Any,
    count: Any,
    total: Any,
    scale: Any,
    step: Any,
    last: Any,
    sample: Any,
) -> Any:
    """The same with mergekit's arithmetic, see `merging.peer_rules`: every step rounds to what `step` stores, and the result to
    that of `last` before it becomes one of `sample`.
    """
    worst = u4(0)
    for j in range(len(target)):
        b = f4(0) if base is None else widen(base[j])
        plus, minus, sum_of_all, plus_weights, minus_weights = f4(0), f4(0), f4(0), f4(0), f4(0)
        for i in range(len(parents)):
            tau = widen(parents[i][j]) if base is None else rounded(widen(parents[i][j]) - b, step)
            if lows is not None:
                magnitude = abs(tau)
                tau = tau if magnitude >= lows[i] and magnitude <= highs[i] else tau * f4(0)
            if masks is not None:
                tau = rounded((tau if masks[i][j] else tau * f4(0)) * factors[i], step)
            s = rounded(tau * weights[i], step)
            sum_of_all = sum_of_all + s if base is not None else multiplied_and_added(tau, weights[i], sum_of_all)
            if elect is not None:
                plus += f4(0) if s < 0 else s
                minus += f4(0) if s > 0 else s
            if count is not None:
                plus_weights += weights[i] if s > 0 else f4(0)
                minus_weights += weights[i] if s < 0 else f4(0)
        mixed = sum_of_all
        if elect is not None:
            mixed = plus if sum_of_all >= 0 else minus
        mixed = rounded(mixed, step)
        if count is not None:
            agreeing = rounded(plus_weights if sum_of_all >= 0 else minus_weights, step)
            mixed = rounded(mixed / (f4(1) if agreeing == 0 else agreeing), step)
        if total is not None:
            mixed = rounded(mixed / total, step)
        if scale is not None:
            mixed = rounded(mixed * scale, step)
        value = rounded(mixed if base is None else b + mixed, last)
        worst = max(worst, u4(bits_of(value) & u4(0x7FFFFFFF)))
        store(target, j, narrowed(value, sample))
    return worst


@compiled
def sum_magnitudes(base: Any, parent: Any, mask: Any, step: Any, paired: Any) -> Any:
    """The sums of |tau|, rounded to what `step` stores, over all elements and over those in the mask; see `sum_as_torch`.

    Short loops after each other run side by side in a processor's lanes; one loop over five arrays does not.
    """
    whole, left = np.empty(PIECE, f4), np.empty(PIECE, f4)
    all_sums, some_sums = np.zeros((LEVELS, ROW), f4), np.zeros((LEVELS, ROW), f4)
    n = len(parent)
    stop, level = n // _row_of(paired) * _row_of(paired), _level_of(n // _row_of(paired))
    for start in range(0, max(n, 1), PIECE):
        below, above, kept = base[start : start + PIECE], parent[start : start + PIECE], mask[start : start + PIECE]
        for j in range(len(above)):
            whole[j] = float_of(magnitude_of(below, above, j, step))
        for j in range(len(above)):
            left[j] = whole[j] if kept[j] else whole[j] * f4(0)
        last = min(len(above), stop - start)
        _add_rows(all_sums, whole[:last], start // _row_of(paired), level, paired)
        _add_rows(some_sums, left[:last], start // _row_of(paired), level, paired)
    rest = slice(stop - start, n - start)
    return _total(all_sums, whole[rest], n, paired), _total(some_sums, left[rest], n, paired)


@compiled
def sum_as_torch(values: Any, paired: Any) -> Any:
    """The float32 sum of float32 numbers in torch's order on x86-64 (`SumKernel.cpp`), the same whatever the processor can do.

    Eight numbers are one vector, four vectors a row; rows are added to one row of sums, and that, after 16 rows or more,
    to another, on four levels. `paired`: numbers are stored in 16 bits, of which a vector is the sum of two times eight.
    """
    sums, n = np.zeros((LEVELS, ROW), f4), len(values)
    stop = n // _row_of(paired) * _row_of(paired)
    _add_rows(sums, values[:stop], 0, _level_of(n // _row_of(paired)), paired)
    return _total(sums, values[stop:], n, paired)


@inlined
def _row_of(paired: Any) -> Any:
    return ROW if paired is None else 2 * ROW


@inlined
def _level_of(n_rows: Any) -> Any:
    """After two to the power of how many rows their sums are added to those above."""
    bits = 0
    while n_rows > 1 << bits:
        bits += 1
    return max(4, bits // LEVELS)


@inlined
def _add_rows(sums: Any, values: Any, rows: Any, level: Any, paired: Any) -> None:
    """Adds whole rows; `rows`, a multiple of 16, have been added before."""
    lines = _vectors(values, paired).reshape(-1, ROW)
    n_blocks, line = len(lines) // N_ROWS, sums[0]
    blocks = lines[: n_blocks * N_ROWS].reshape(n_blocks, N_ROWS, ROW)
    for i in range(n_blocks):
        block = blocks[i]
        for k in range(ROW):
            total = line[k]
            for row in range(N_ROWS):
                total += block[row, k]
            line[k] = total
        above, place = 1, rows + N_ROWS * (i + 1)
        while above < LEVELS and place & ((1 << level) - 1) == 0:
            for k in range(ROW):
                sums[above, k] += sums[above - 1, k]
                sums[above - 1, k] = f4(0)
            place >>= level
            above += 1
    for row in range(n_blocks * N_ROWS, len(lines)):  # fewer than are added up before the next level
        for k in range(ROW):
            line[k] += lines[row, k]


@inlined
def _vectors(values: Any, paired: Any) -> Any:
    """Numbers as they are, or the sums of eight and the next eight. Whole vectors"""
    if paired is None:
        return values.reshape(-1, LANES)
    pairs = values.reshape(-1, 2, LANES)
    found = np.empty((len(pairs), LANES), f4)
    for row in range(len(pairs)):
        for k in range(LANES):
            found[row, k] = pairs[row, 0, k] + pairs[row, 1, k]
    return found


@inlined
def _total(sums: Any, rest: Any, n: Any, paired: Any) -> Any:
    """Of the sums of rows and the elements after them. Fewer elements than a vector has are added to four sums instead."""
    width, total = _row_of(paired) // N_VECTORS, f4(0)
    if n < width:
        whole = n // N_VECTORS * N_VECTORS
        for k in range(n):
            sums[0, k % N_VECTORS if k < whole else 0] += rest[k]
        for k in range(N_VECTORS):
            total += sums[0, k]
        return total
    for above in range(1, LEVELS):
        for k in range(ROW):
            sums[0, k] += sums[above, k]
    stop = len(rest) // width * width
    vectors = _vectors(rest[:stop], paired)
    for row in range(len(vectors)):
        for k in range(LANES):
            sums[0, k] += vectors[row, k]
    for k in range(LANES, ROW):
        sums[0, k % LANES] += sums[0, k]
    for k in range(stop, len(rest)):
        total += rest[k]
    for k in range(LANES):
        total += sums[0, k]
    return total


@compiled
def draw_mask(state: Any, place: Any, limits: Any, mask: Any) -> Any:
    """One word of the Mersenne Twister MT19937 for each element, as `torch.bernoulli` takes them; 1 where its 24 trailing bits are
    below the element's limit, or the one limit of all.

    `state` and `place` are the generator's; returns the place that it has come to.
    Matsumoto and Nishimura, 1998; words are made 624 at a time.
    """
    done = 0
    while done < len(mask):
        if place == MT_WORDS:
            _twist(state)
            place = 0
        n = min(MT_WORDS - place, len(mask) - done)
        words, kept = state[place : place + n], mask[done : done + n]
        if len(limits) == len(mask):
            of_word = limits[done : done + n]
            for k in range(n):
                kept[k] = u1(_tempered(words[k]) < of_word[k])
        else:
            limit = limits[0]  # before the loop: for all it is known, writing to `kept` might change it
            for k in range(n):
                kept[k] = u1(_tempered(words[k]) < limit)
        done += n
        place += n
    return place


@inlined
def _tempered(word: Any) -> Any:
    """The 24 trailing bits of what MT19937 makes of a word of its state."""
    y = u4(word ^ (word >> u4(11)))
    y = u4(y ^ (u4(y << u4(7)) & u4(0x9D2C5680)))
    y = u4(y ^ (u4(y << u4(15)) & u4(0xEFC60000)))
    return u4(y ^ (y >> u4(18))) & u4(0xFFFFFF)


@inlined
def _twist(state: Any) -> None:
    for k in range(MT_WORDS - MT_SHIFT):
        state[k] = state[k + MT_SHIFT] ^ _twisted(state[k], state[k + 1])
    for k in range(MT_WORDS - MT_SHIFT, MT_WORDS - 1):
        state[k] = state[k - (MT_WORDS - MT_SHIFT)] ^ _twisted(state[k], state[k + 1])
    state[MT_WORDS - 1] = state[MT_SHIFT - 1] ^ _twisted(state[MT_WORDS - 1], state[0])


@inlined
def _twisted(word: Any, following: Any) -> Any:
    mixed = u4((word & u4(0x80000000)) | (following & u4(0x7FFFFFFF)))
    return u4((mixed >> u4(1)) ^ (u4(0x9908B0DF) if following & u4(1) else u4(0)))


@compiled
def count_magnitudes(base: Any, parent: Any, step: Any, counts: Any, numbers: Any) -> None:
    """Adds to the bins of |tau|, rounded to what `step` stores, [N_BINS]. `numbers` are room to work in, [PIECE], u4."""
    for start in range(0, len(parent), PIECE):
        below, above = base[start : start + PIECE], parent[start : start + PIECE]
        for j in range(len(above)):
            numbers[j] = magnitude_of(below, above, j, step) >> u4(16)
        for j in range(len(above)):
            counts[numbers[j]] += u4(1)


@compiled
def gather_words(base: Any, parent: Any, number: Any, words: Any, magnitudes: Any) -> Any:
    """The trailing bits of the magnitudes in a bin, in order of memory; returns how many there are.

    There is room for one more, which is written and not counted: a step without a branch is a fifth faster. `magnitudes` are
    room to work in, [PIECE], u4.
    """
    n = 0
    for start in range(0, len(parent), PIECE):
        below, above = base[start : start + PIECE], parent[start : start + PIECE]
        for j in range(len(above)):
            magnitudes[j] = magnitude_of(below, above, j, None)
        for j in range(len(above)):
            words[n] = u2(magnitudes[j])
            n += 1 if magnitudes[j] >> u4(16) == number else 0
    return n


@compiled
def count_different(base: Any, parent: Any, seen: Any, counts: Any, room: Any) -> Any:
    """Counts every different magnitude, in a hash table: the bits with the sign set, 0 where a place is free.

    Returns how many there are, or -1 when they are more than `room`. There are more places than that, a power of two.
    """
    n, shift, n_places = 0, u4(32), len(seen)
    while n_places > 1:
        n_places //= 2
        shift -= u4(1)
    for j in range(len(parent)):
        key = u4(magnitude_of(base, parent, j, None) | u4(0x80000000))
        place = u4(u4(key * u4(0x9E3779B1)) >> shift)  # Knuth's multiplicative hash
        while seen[place] != key:
            if seen[place] == u4(0):
                if n == room:
                    return -1
                seen[place] = key
                n += 1
            else:
                place = u4(place + u4(1)) & u4(len(seen) - 1)
        counts[place] += u4(1)
    return n


@compiled
def write_differences(base: Any, vector: Any, row: Any) -> None:
    """A vector, or its difference from the base, in float64, exactly; 0 in what is left of the row."""
    row[len(vector) :] = 0.0
    for k in range(len(vector)):
        row[k] = f8(widen(vector[k])) if base is None else f8(widen(vector[k])) - f8(widen(base[k]))


@compiled
def add_products(block: Any, found: Any) -> None:
    """Adds the inner products of all pairs of vectors to `found`, below and on its diagonal. [vectors, rows, 16]

    All is added in the order written here: no sum depends on a processor. A product of two float32 is exact in float64.
    """
    for i in range(len(block)):
        for j in range(i + 1):
            found[i, j] += _dot(block[i], block[j])


@inlined
def _dot(x: Any, y: Any) -> Any:
    """In sixteen sums side by side, which fill a processor's registers."""
    a, b, c, d, e, f, g, h = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    i, j, k, l, m, n, o, p = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0  # noqa: E741
    for row in range(len(x)):
        a += x[row, 0] * y[row, 0]
        b += x[row, 1] * y[row, 1]
        c += x[row, 2] * y[row, 2]
        d += x[row, 3] * y[row, 3]
        e += x[row, 4] * y[row, 4]
        f += x[row, 5] * y[row, 5]
        g += x[row, 6] * y[row, 6]
        h += x[row, 7] * y[row, 7]
        i += x[row, 8] * y[row, 8]
        j += x[row, 9] * y[row, 9]
        k += x[row, 10] * y[row, 10]
        l += x[row, 11] * y[row, 11]  # noqa: E741
        m += x[row, 12] * y[row, 12]
        n += x[row, 13] * y[row, 13]
        o += x[row, 14] * y[row, 14]
        p += x[row, 15] * y[row, 15]
    return (((a + b) + (c + d)) + ((e + f) + (g + h))) + (((i + j) + (k + l)) + ((m + n) + (o + p)))


@compiled
def rank_rows(base: Any, parent: Any, row: Any, step: Any, of_rank: Any, found: Any) -> None:
    """What `of_rank` has for the place of every element in its row of `row` elements by rising |tau|, from 0, or the place itself; equal
    ones in order of memory.

    Task vectors are rounded to what `step` stores, unless it is None.

    Sorts by digits, the last first. A digit that all magnitudes share costs nothing but its count.
    """
    counts = np.empty((3, 1 << DIGIT_BITS), u4)
    here, there = np.empty(row, u8), np.empty(row, u8)
    for start in range(0, len(parent), row):
        below, above, own = base[start : start + row], parent[start : start + row], found[start : start + row]
        counts[:] = u4(0)
        for j in range(row):
            magnitude = magnitude_of(below, above, j, step)
            here[j] = (u8(magnitude) << u8(32)) | u8(j)
            for digit in range(3):
                counts[digit, (magnitude >> u4(DIGIT_BITS * digit)) & u4((1 << DIGIT_BITS) - 1)] += u4(1)
        for digit in range(3):
            shift = u8(32 + DIGIT_BITS * digit)
            if counts[digit, (here[0] >> shift) & u8((1 << DIGIT_BITS) - 1)] < u4(row):
                _sort_by_digit(here, shift, counts[digit], there)
                here, there = there, here
        for j in range(row):
            own[u4(here[j])] = u4(j) if of_rank is None else of_rank[j]


@compiled
def rank_short_rows(base: Any, parent: Any, row: Any, step: Any, of_rank: Any, found: Any) -> None:
    """The same of task vectors that are rounded to bfloat16, and rows of at most 2^16 elements: a magnitude is the upper half of a word,
    and its element's number fits the lower.
    """
    counts = np.empty((2, 1 << 8), u4)
    here, there = np.empty(row, u4), np.empty(row, u4)
    for start in range(0, len(parent), row):
        below, above, own = base[start : start + row], parent[start : start + row], found[start : start + row]
        for j in range(row):
            here[j] = magnitude_of(below, above, j, step) | u4(j)
        counts[:] = u4(0)
        for j in range(row):
            counts[0, (here[j] >> u4(16)) & u4(0xFF)] += u4(1)
            counts[1, here[j] >> u4(24)] += u4(1)
        _sort_by_digit(here, u4(16), counts[0], there)
        _sort_by_digit(there, u4(24), counts[1], here)
        for j in range(row):
            own[here[j] & u4(0xFFFF)] = of_rank[j]


@inlined
def _sort_by_digit(words: Any, shift: Any, counts: Any, found: Any) -> None:
    """In order of the digit that follows after `shift` bits, equal ones as they come. `counts`, by digit, are used up."""
    place = u4(0)
    for k in range(len(counts)):
        place, counts[k] = u4(place + counts[k]), place
    for j in range(len(words)):
        k = (words[j] >> shift) & (len(counts) - 1)
        found[counts[k]] = words[j]
        counts[k] += u4(1)


@inlined
def magnitude_of(base: Any, parent: Any, j: Any, step: Any) -> Any:
    """The bits of |tau| of an element."""
    return u4(bits_of(rounded(widen(parent[j]) - widen(base[j]), step)) & u4(0x7FFFFFFF))


@inlined
def _unfolded_word(place: Any, keys: Any) -> Any:
    """The word of `merging.draws` for an element before it is folded: two rounds of lowbias32. Its place and the keys come folded.

    A round begins and ends with folding, which undoes itself: between two rounds only the key is left of it. Each step
    says that it is 32 bits wide, or it would not be.
    """
    return _multiplied(u4(_multiplied(u4(place ^ keys[0])) ^ keys[1]))


@inlined
def is_folded_at_most(word: Any, last: Any) -> Any:
    """Whether a word, folded, is no larger than another, both as signed numbers.

    Their lower halves only matter where the upper ones are equal; then folding with the one is folding with the other,
    which is a number for all elements.
    """
    return i4(u4(word ^ (u4(last) >> u4(16)))) <= last


@inlined
def _multiplied(word: Any) -> Any:
    x = u4(word * u4(0x7FEB352D))
    x = u4(x ^ (x >> u4(15)))
    return u4(x * u4(0x846CA68B))


@inlined
def folded(word: Any) -> Any:
    """The upper half of 32 bits added to the lower; once more, and the word is back."""
    return u4(word ^ (word >> u4(16)))


@inlined
def _wins(word: Any, share: Any, extremes: Any) -> Any:
    """Whether a word, as a number in [0, 2^32), is below `merging.draws.limit_of` a share. float32 holds these limits.

    Unless there are `extremes`, shares lie in [2^-8, 1), and their limits are whole numbers of 32 bits as they are.
    """
    limit = share * f4(2.0**32)
    if extremes is None:
        return u4(word ^ u4(0x80000000)) < u4(limit)
    return (u4(word ^ u4(0x80000000)) < u4(min(np.rint(limit), f4(2.0**32 - 2**8)))) | (share >= f4(1))


@inlined
def bits_of(x: Any) -> Any:
    """Of a float32."""
    return f4(x).view(u4)


@inlined
def float_of(bits: Any) -> Any:
    """The float32 that has these bits."""
    return u4(bits).view(f4)


def _fused(_: Any, x: Any, y: Any, z: Any) -> Any:
    return types.float32(x, y, z), lambda context, builder, signature, numbers: builder.fma(*numbers)


multiplied_and_added: Any = intrinsic(_fused)
"""x y + z of float32, rounded once. Only inside kernels."""


def widen(word: Any) -> Any:
    """The float32 of an element as it is stored; exact. Only inside kernels."""
    raise NotImplementedError


@chosen_by_type(widen)
def _widen(word: Any) -> Any:
    if word == types.uint16:
        return lambda word: float_of(u4(word) << u4(16))
    if word == types.int16:
        return lambda word: _float16_widened(u4(u2(word)))
    return lambda word: word


def narrowed(value: Any, sample: Any) -> Any:
    """A float32 rounded to the nearest, ties to even, of what `sample` stores; any word for NaN. Only inside kernels."""
    raise NotImplementedError


@chosen_by_type(narrowed)
def _narrowed(value: Any, sample: Any) -> Any:
    if sample == types.uint16:
        return lambda value, sample: _bfloat16_rounded(bits_of(value))
    if sample == types.int16:
        return lambda value, sample: _float16_rounded(bits_of(value))
    return lambda value, sample: value


def rounded(value: Any, step: Any) -> Any:
    """A float32 rounded to what `step` stores, as it is for None. Only inside kernels."""
    raise NotImplementedError


@chosen_by_type(rounded)
def _rounded(value: Any, step: Any) -> Any:
    if step in (types.uint16, types.int16):
        return lambda value, step: widen(narrowed(value, step))
    return lambda value, step: value


def store(target: Any, j: Any, word: Any) -> Any:
    """Writes a word, or its float32 where the target is float32. Only inside kernels."""
    raise NotImplementedError


@chosen_by_type(store)
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
