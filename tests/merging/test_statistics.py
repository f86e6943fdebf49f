"""Intervals and the paired test against numbers from elsewhere and against their definitions."""

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merging.errors import EvaluationError
from merging.statistics import Z_95, mcnemar, paired_test, wilson


@pytest.mark.parametrize(("successes", "n"), [(1, 2), (5, 100), (130, 250), (999, 1000)])
def test_wilson_bounds_solve_the_score_equation(successes: int, n: int) -> None:
    """Both bounds p satisfy (share - p)^2 = z^2 p (1 - p) / n: the definition of the interval."""
    interval = wilson(successes, n)
    for p in (interval.low, interval.high):
        assert (successes / n - p) ** 2 == pytest.approx(Z_95**2 * p * (1 - p) / n, rel=1e-9)


def test_wilson_at_the_ends_has_one_bound_of_its_own() -> None:
    """With no success the equation is p = z^2 (1 - p) / n: the upper bound is z^2 / (n + z^2) = 3.8415 / 13.8415."""
    assert wilson(0, 10).low == 0 and wilson(0, 10).high == pytest.approx(0.27753, abs=1e-5)
    assert wilson(10, 10).high == 1 and wilson(10, 10).low == pytest.approx(0.72247, abs=1e-5)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_its_share_and_stays_in_bounds(case: tuple[int, int]) -> None:
    successes, n = case
    interval = wilson(successes, n)
    assert 0 <= interval.low <= successes / n <= interval.high <= 1
    assert interval.low < interval.high


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 3), (4, 3)])
def test_an_impossible_share_is_refused(successes: int, n: int) -> None:
    with pytest.raises(EvaluationError, match="successes"):
        wilson(successes, n)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_two_sided_binomial_test(only_first: int, only_second: int) -> None:
    n = only_first + only_second
    as_extreme = sum(comb(n, i) for i in range(n + 1) if abs(i - n / 2) >= abs(only_first - n / 2))
    assert mcnemar(only_first, only_second) == pytest.approx(as_extreme / 2**n, rel=1e-12)


def test_mcnemar_neither_overflows_nor_underflows() -> None:
    assert 0 < mcnemar(0, 1000) < 1e-300
    assert mcnemar(0, 0) == 1


def test_a_paired_test_counts_samples_that_only_one_got_right() -> None:
    test = paired_test([True, True, False, True], [True, False, True, False])
    assert (test.only_first, test.only_second, test.p) == (2, 1, 1.0)


def test_a_paired_test_needs_the_same_samples() -> None:
    with pytest.raises(EvaluationError, match="found 1 and 2"):
        paired_test([True], [True, False])
