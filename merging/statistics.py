"""How sure a score is, and whether two models differ on the same samples.

Shares of right answers have Wilson's interval and McNemar's exact test; means of other scores in [0, 1] are
bootstrapped, with a fixed seed: the same scores give the same interval. Every interval is for 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from merging.errors import EvaluationError

Z_95: Final = 1.959963984540054  # the 0.975 quantile of the standard normal law
N_RESAMPLES: Final = 4000
MAX_DRAWS: Final = 1 << 20
"""Numbers in memory at once."""
ROUNDING: Final = 1e-12
KEPT_UP_TO: Final = 4096
"""Samples up to which the resamples are kept, at most 32 MiB for one number of samples."""
"""Of sums in another order: equal numbers must not come out as different."""
SEED: Final = 0
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """Bounds of a share or a mean."""

    low: float
    high: float


def interval_of(scores: Sequence[float], are_binary: bool) -> Interval:
    """The interval of a mean of scores: Wilson's where each is 0 or 1, bootstrapped otherwise."""
    return wilson(round(sum(scores)), len(scores)) if are_binary else bootstrap(scores)


def wilson(successes: int, n: int) -> Interval:
    """Wilson's 95 % score interval for successes of n; never leaves [0, 1], and has a width at 0 of n and n of n too.

    Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    if n < 1 or not 0 <= successes <= n:
        raise EvaluationError(f"an interval needs 0 <= successes <= n and n >= 1; found {successes} of {n}")
    found = score_interval(successes / n, n, Z_95)
    low = 0.0 if successes == 0 else max(0.0, found.low)
    high = 1.0 if successes == n else min(1.0, found.high)
    return Interval(low, high)


def score_interval(p: float, n: float, z: float) -> Interval:
    """Wilson's bounds for the share p of n, z standard errors apart from it; rounding may take them out of [0, 1]."""
    z2 = z * z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return Interval(centre - half, centre + half)


@dataclass(frozen=True)
class PairedTest:
    """How two models differ on the same samples: those that only one got right, and the exact two-sided p."""

    only_first: int
    only_second: int
    p: float


def paired_test(first: Sequence[bool], second: Sequence[bool]) -> PairedTest:
    """McNemar's exact test: under "no difference" each discordant sample is a fair coin.

    No discordant sample gives p = 1.
    """
    if len(first) != len(second):
        raise EvaluationError(f"a paired test needs the same samples; found {len(first)} and {len(second)} outcomes")
    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    return PairedTest(only_first, only_second, mcnemar(only_first, only_second))


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided p of so many discordant samples either way; 1 without any."""
    n, k = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(n, i) for i in range(k + 1))
    # Whole numbers until one correctly rounded division: nothing overflows and nothing underflows to a wrong 0.
    return 1.0 if 2 * tail >= 1 << n else 2 * tail / (1 << n)


def bootstrap(scores: Sequence[float], seed: int = SEED) -> Interval:
    """The BCa interval of the mean of scores in [0, 1]; EvaluationError without scores.

    Scores that are all the same have nothing to resample: at least a share of `wilson(n, n).low` of all samples scores
    as they do, and the others anything.

    Efron, "Better bootstrap confidence intervals", JASA 82 (1987).
    """
    values = _numbers(scores)
    if np.ptp(values) == 0:
        return _of_constant(values, lowest=0.0)
    return _bca(values, _resampled(values, seed, _means))


@dataclass(frozen=True)
class PairedDifference:
    """How much higher a first model's mean is on the same samples, with its interval and the two-sided p of no difference."""

    difference: float
    low: float
    high: float
    p: float


def paired_bootstrap(first: Sequence[float], second: Sequence[float], seed: int = SEED) -> PairedDifference:
    """The BCa interval of the mean difference of scores in [0, 1]; EvaluationError when the samples are not the same.

    p is of the t statistic among those of resamples that were moved to a mean difference of 0, at least 1 / (number of
    resamples + 1); 1 where no score differs.

    Efron and Tibshirani, "An introduction to the bootstrap" (1993), section 16.4.
    """
    values = _differences(first, second)
    difference, p = float(values.mean()), _p_of_no_difference(values, seed)
    interval = _of_constant(values, -1.0) if np.ptp(values) == 0 else _bca(values, _resampled(values, seed, _means))
    return PairedDifference(difference, interval.low, interval.high, p)


def paired_p(first: Sequence[float], second: Sequence[float], seed: int = SEED) -> float:
    """The p of `paired_bootstrap` alone, in about a quarter of the time once this number of samples is known."""
    return _p_of_no_difference(_differences(first, second), seed)


def mover(means: Sequence[float], intervals: Sequence[Interval], weights: Sequence[float]) -> Interval:
    """The interval of the weighted mean of independent means, from their own intervals; weights are positive.

    The weights need not sum to 1. Zou and Donner, "Construction of confidence limits about effect measures: a general
    approach", Statistics in Medicine 27 (2008), equation 6.
    """
    if not len(means) == len(intervals) == len(weights) or not means or min(weights) <= 0:
        raise EvaluationError(
            f"a weighted mean needs a mean, an interval and a positive weight of each part; found {len(means)} means, "
            f"{len(intervals)} intervals and the weights {list(weights)}"
        )
    total = math.fsum(weights)
    parts = [(weight / total, mean, part) for weight, mean, part in zip(weights, means, intervals, strict=True)]
    mean = math.fsum(share * mean for share, mean, _ in parts)
    below = math.hypot(*(share * (mean - part.low) for share, mean, part in parts))
    above = math.hypot(*(share * (part.high - mean) for share, mean, part in parts))
    return Interval(mean - below, mean + above)


def paired_mover(means: tuple[float, float], intervals: tuple[Interval, Interval], correlation: float) -> Interval:
    """The interval of a first mean less a second one of the same samples, from their own intervals and `correlation`.

    Of Wilson's intervals it is method 10 of Newcombe, "Improved confidence intervals for the difference between binomial
    proportions based on paired data", Statistics in Medicine 17 (1998). A closed form, where a bootstrap takes 36 ms.
    """
    (a, b), (of_a, of_b) = means, intervals

    def reach(x: float, y: float) -> float:
        return math.sqrt(max(0.0, x * x + y * y - 2 * correlation * x * y))

    below, above = reach(a - of_a.low, of_b.high - b), reach(of_a.high - a, b - of_b.low)
    return Interval(a - b - below, a - b + above)


def correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Of scores in [0, 1] of the same samples, corrected for continuity: scores that all agree do not make a difference of 0 certain.

    0 where one of them is the same for all samples. Newcombe as above: the numerator of phi loses n / 2, the covariance 1 / 2n.
    """
    a, b = _numbers(first), _numbers(second)
    if len(a) != len(b):
        raise EvaluationError(f"a correlation needs the same samples; found {len(a)} and {len(b)} scores")
    covariance = float(np.mean((a - a.mean()) * (b - b.mean())))
    spreads = float(a.std() * b.std())
    if covariance > 0:
        covariance = max(0.0, covariance - 1 / (2 * len(a)))
    return covariance / spreads if spreads else 0.0


def _numbers(scores: Sequence[float]) -> Numbers:
    if not scores:
        raise EvaluationError("an interval needs at least one score; found none")
    return np.asarray(scores, dtype=np.float64)


def _of_constant(values: Numbers, lowest: float) -> Interval:
    """The interval of a mean of values in [lowest, 1] that were all the same."""
    share, value = wilson(len(values), len(values)).low, float(values[0])
    return Interval(share * value + (1 - share) * lowest, share * value + (1 - share))


def _resampled(values: Numbers, seed: int, of_rows: Callable[[Numbers], Numbers]) -> Numbers:
    """What `of_rows` makes of N_RESAMPLES resamples, a chunk of rows at a time so that memory stays small."""
    n, rng = len(values), np.random.default_rng(seed)
    n_rows = max(1, MAX_DRAWS // n)
    sizes = [min(n_rows, N_RESAMPLES - start) for start in range(0, N_RESAMPLES, n_rows)]
    return np.concatenate([of_rows(values[rng.integers(0, n, size=(size, n))]) for size in sizes])


def _means(rows: Numbers) -> Numbers:
    found: Numbers = rows.mean(axis=1)
    return found


def _bca(values: Numbers, means: Numbers) -> Interval:
    """Percentiles of the resampled means, moved for their bias and for a spread that depends on the mean."""
    normal, mean = NormalDist(), values.mean()
    share_below = (np.count_nonzero(means < mean) + np.count_nonzero(means <= mean)) / (2 * len(means))  # ties: half
    bias = normal.inv_cdf(min(max(share_below, 1 / len(means)), 1 - 1 / len(means)))
    from_mean = values - mean  # of the jackknife's means, up to a factor that cancels
    acceleration = float((from_mean**3).sum() / (6 * (from_mean**2).sum() ** 1.5))

    def bound(z: float) -> float:
        moved = bias + (bias + z) / (1 - acceleration * (bias + z))
        return float(np.quantile(means, normal.cdf(moved)))

    return Interval(bound(-Z_95), bound(Z_95))


def _differences(first: Sequence[float], second: Sequence[float]) -> Numbers:
    if len(first) != len(second):
        raise EvaluationError(
            f"a paired difference needs the same samples; found {len(first)} and {len(second)} scores"
        )
    return _numbers(first) - _numbers(second)


def _p_of_no_difference(values: Numbers, seed: int) -> float:
    """Values are moved to a mean of 0; a resample is as extreme as they were if its mean is as many of its spreads away."""
    n, mean = len(values), float(values.mean())
    if np.ptp(values) == 0:  # all differ alike: as likely as a fair coin that falls n times on one side
        return mcnemar(n, 0) if mean else 1.0
    moved, ratio = values - mean, abs(mean) / float(values.std())
    columns = np.stack([moved, moved**2], axis=1)
    drawn = _kept_counts(n, seed) if n <= KEPT_UP_TO else _counts(n, seed)
    means, squares = np.concatenate([counts @ columns for counts in drawn]).T / n  # [resamples] each
    spreads = np.sqrt(np.maximum(0, squares - means**2))
    n_as_extreme = np.count_nonzero(np.abs(means) >= ratio * spreads * (1 - ROUNDING))
    return float((n_as_extreme + 1) / (N_RESAMPLES + 1))


@lru_cache(maxsize=2)
def _kept_counts(n: int, seed: int) -> tuple[NDArray[np.uint16], ...]:
    """`_counts`, of which leaderboards need the same many times."""
    return tuple(_counts(n, seed))


def _counts(n: int, seed: int) -> Iterator[NDArray[np.uint16]]:
    """[resamples, n], some resamples at a time: how often each of n values is drawn."""
    n_rows, rng = max(1, MAX_DRAWS // n), np.random.default_rng(seed)
    for start in range(0, N_RESAMPLES, n_rows):
        n_now = min(n_rows, N_RESAMPLES - start)
        drawn = rng.integers(0, n, size=(n_now, n)) + n * np.arange(n_now)[:, None]
        yield np.bincount(drawn.ravel(), minlength=n_now * n).reshape(n_now, n).astype(np.uint16)
