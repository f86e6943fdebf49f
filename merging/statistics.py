"""How sure a score is: intervals for shares and an exact test for two models on the same samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from merging.errors import EvaluationError

Z_95 = 1.959963984540054  # the 0.975 quantile of the standard normal law


@dataclass(frozen=True)
class Interval:
    """Bounds of a share, both in [0, 1]."""

    low: float
    high: float


def wilson(successes: int, n: int) -> Interval:
    """Wilson's 95 % score interval for successes of n; never leaves [0, 1], and has a width at 0 of n and n of n too.

    Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    if n < 1 or not 0 <= successes <= n:
        raise EvaluationError(f"an interval needs 0 <= successes <= n and n >= 1; found {successes} of {n}")
    p, z2 = successes / n, Z_95 * Z_95
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(low, high)


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
