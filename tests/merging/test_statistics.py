"""Intervals and the paired test against numbers from elsewhere and against their definitions."""

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]

from merging import statistics
from merging.errors import EvaluationError
from merging.statistics import (
    KEPT_UP_TO,
    MAX_DRAWS,
    Z_95,
    Interval,
    bootstrap,
    correlation,
    interval_of,
    mcnemar,
    mover,
    paired_bootstrap,
    paired_mover,
    paired_p,
    paired_test,
    wilson,
)


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


@pytest.mark.parametrize(("successes", "n"), [(0, 7), (3, 10), (130, 250), (999, 1000), (5, 5)])
def test_wilson_is_that_of_scipy(successes: int, n: int) -> None:
    expected = stats.binomtest(successes, n).proportion_ci(method="wilson")
    found = wilson(successes, n)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize(("n", "p"), [(20, 0.5), (50, 0.1), (250, 0.55), (400, 0.97)])
def test_wilson_holds_the_truth_in_95_of_100_cases(n: int, p: float) -> None:
    """Summed over all outcomes, so nothing is left to luck; it swings by a few points around 95 % with n and p."""
    holds = [wilson(k, n).low <= p <= wilson(k, n).high for k in range(n + 1)]
    assert stats.binom.pmf(range(n + 1), n, p)[holds].sum() == pytest.approx(0.95, abs=0.025)


@pytest.mark.parametrize(("first", "second"), [(0, 1), (3, 9), (40, 41), (100, 60)])
def test_mcnemar_is_scipys_binomial_test(first: int, second: int) -> None:
    assert mcnemar(first, second) == pytest.approx(stats.binomtest(first, first + second).pvalue, rel=1e-9)


def scores(seed: int, n: int) -> list[float]:
    """As F1 and ROUGE give them: many 0, some 1, and something in between. The expected mean is 0.4."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(3, size=n, p=[0.4, 0.2, 0.4])
    return [float(x) for x in np.where(kinds == 0, 0.0, np.where(kinds == 1, 1.0, rng.uniform(0, 1, n)))]


@pytest.mark.parametrize(("seed", "n"), [(1, 20), (2, 100), (3, 400)])
def test_the_bootstrap_is_scipys_bca(seed: int, n: int) -> None:
    """scipy draws other resamples: with 4,000 and 20,000 of them a bound varies by about 2 % of the width; 10 % are allowed."""
    found = bootstrap(scores(seed, n))
    expected = stats.bootstrap(
        (scores(seed, n),), np.mean, n_resamples=20_000, method="BCa", rng=seed
    ).confidence_interval
    allowed = 0.1 * (expected.high - expected.low)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=allowed)


def test_the_bootstrap_holds_the_truth_in_about_95_of_100_cases() -> None:
    """If 94 % of intervals do, fewer than 273 of 300 do with a chance of 1.5 %; of fixed seeds, so always or never."""
    holds = sum(found.low <= 0.4 <= found.high for found in (bootstrap(scores(seed, 60)) for seed in range(300)))
    assert 273 <= holds <= 297


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=30))
def test_bounds_stay_in_bounds_and_hold_the_mean(values: list[float]) -> None:
    found = bootstrap(values)
    assert 0 <= found.low <= sum(values) / len(values) + 1e-12 and sum(values) / len(values) - 1e-12 <= found.high <= 1
    assert found.low < found.high and bootstrap(values) == found


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_scores_that_are_all_0_or_all_1_have_wilsons_interval(value: float) -> None:
    expected = wilson(round(9 * value), 9)
    found = bootstrap([value] * 9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_scores_that_are_all_alike_may_yet_be_otherwise() -> None:
    share = wilson(20, 20).low
    found = bootstrap([0.5] * 20)
    assert (found.low, found.high) == pytest.approx((0.5 * share, 0.5 * share + 1 - share))


def test_more_scores_than_fit_into_memory_at_once_make_no_difference() -> None:
    n = MAX_DRAWS // 300
    found = bootstrap([0.0, 1.0] * (n // 2))
    assert (found.low, found.high) == pytest.approx((0.5 - 0.98 / n**0.5, 0.5 + 0.98 / n**0.5), abs=0.1 / n**0.5)


def test_binary_scores_have_the_interval_of_a_share_and_others_that_of_a_mean() -> None:
    assert interval_of([1.0, 0.0, 1.0], are_binary=True) == wilson(2, 3)
    assert interval_of([0.5, 0.2, 1.0], are_binary=False) == bootstrap([0.5, 0.2, 1.0])
    with pytest.raises(EvaluationError, match="found none"):
        bootstrap([])


@pytest.mark.parametrize("better", [0.0, 0.05, 0.2])
def test_a_paired_difference_is_scipys(better: float) -> None:
    """The interval as above; p beside the t test, which for 200 differences it is near: within 0.03."""
    first, second = scores(1, 200), [max(0.0, x - better) for x in scores(1, 199)] + [0.5]
    rng = np.random.default_rng(5)
    second = [float(np.clip(x + rng.normal(0, 0.2), 0, 1)) for x in second]
    found = paired_bootstrap(first, second)
    expected = stats.bootstrap(
        (first, second), lambda a, b, axis: np.mean(a - b, axis=axis), paired=True, n_resamples=20_000, rng=0
    ).confidence_interval
    assert found.difference == pytest.approx(np.mean(first) - np.mean(second), abs=1e-12)
    allowed = 0.1 * (expected.high - expected.low)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=allowed)
    assert found.p == pytest.approx(stats.ttest_rel(first, second).pvalue, abs=0.03)


def test_equal_models_differ_significantly_in_about_5_of_100_cases() -> None:
    """If 6 % do, more than 30 of 300 do with a chance of 0.2 %; of fixed seeds, so always or never."""
    n_found = 0
    for seed in range(300):
        first, second = scores(2 * seed, 40), scores(2 * seed + 1, 40)
        n_found += paired_bootstrap(first, second).p < 0.05
    assert 3 <= n_found <= 30


def test_a_paired_difference_turns_round_with_its_models() -> None:
    there, back = paired_bootstrap(scores(1, 50), scores(2, 50)), paired_bootstrap(scores(2, 50), scores(1, 50))
    assert there.difference == -back.difference and there.p == back.p
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 7, 200, KEPT_UP_TO + 1])
def test_p_alone_is_that_of_the_bootstrap_whether_its_resamples_are_kept_or_not(
    n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = scores(1, n), scores(2, n)
    p = paired_bootstrap(first, second).p
    assert paired_p(first, second) == p
    monkeypatch.setattr(statistics, "KEPT_UP_TO", 0)
    assert paired_p(first, second) == p


def test_models_that_do_not_differ_on_any_sample_are_tied() -> None:
    found = paired_bootstrap(scores(1, 30), scores(1, 30))
    assert (found.difference, found.p) == (0, 1) and found.low == -found.high < 0


@pytest.mark.parametrize(("n", "p"), [(1, 1.0), (3, 0.25), (10, 2 / 2**10)])
def test_models_that_differ_alike_on_every_sample_are_told_apart_by_their_number(n: int, p: float) -> None:
    found = paired_bootstrap([0.75] * n, [0.5] * n)
    assert found.difference == 0.25 and found.p == p and found.low < 0.25 < found.high


def test_a_paired_difference_needs_the_same_samples() -> None:
    with pytest.raises(EvaluationError, match="found 1 and 2 scores"):
        paired_bootstrap([1.0], [1.0, 0.0])


def test_one_part_has_its_own_interval() -> None:
    found = mover([0.3], [Interval(0.1, 0.6)], [7])
    assert (found.low, found.high) == pytest.approx((0.1, 0.6), abs=1e-12)


def test_parts_are_combined_as_by_hand() -> None:
    """Weights 3 and 1: mean 0.75 x 0.4 + 0.25 x 0.8 = 0.5; below sqrt(0.15^2 + 0.05^2), above sqrt(0.15^2 + 0.025^2)."""
    found = mover([0.4, 0.8], [Interval(0.2, 0.6), Interval(0.6, 0.9)], [3, 1])
    assert found.low == pytest.approx(0.5 - (0.15**2 + 0.05**2) ** 0.5, abs=1e-12)
    assert found.high == pytest.approx(0.5 + (0.15**2 + 0.025**2) ** 0.5, abs=1e-12)


def test_a_combined_interval_holds_the_truth_in_95_of_100_cases() -> None:
    """Two shares of 0.2 and 0.9, 60 and 40 samples, weights 1 and 2; summed over all outcomes."""
    truth, held = (0.2 + 2 * 0.9) / 3, 0.0
    for i, chance in enumerate(stats.binom.pmf(range(61), 60, 0.2)):
        for j, other in enumerate(stats.binom.pmf(range(41), 40, 0.9)):
            found = mover([i / 60, j / 40], [wilson(i, 60), wilson(j, 40)], [1, 2])
            held += chance * other * (found.low <= truth <= found.high)
    assert held == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(("means", "weights"), [([], []), ([0.5], [0.0]), ([0.5], [1.0, 1.0])])
def test_parts_that_cannot_be_combined_are_refused(means: list[float], weights: list[float]) -> None:
    with pytest.raises(EvaluationError, match="needs a mean, an interval and a positive weight"):
        mover(means, [Interval(0, 1) for _ in means], weights)


def of_pairs(both: int, first: int, second: int, neither: int) -> Interval:
    """The interval of a difference of shares, from the four counts."""
    a = [1.0] * both + [1.0] * first + [0.0] * second + [0.0] * neither
    b = [1.0] * both + [0.0] * first + [1.0] * second + [0.0] * neither
    n, means = len(a), (sum(a) / len(a), sum(b) / len(b))
    intervals = wilson(both + first, n), wilson(both + second, n)
    return paired_mover(means, intervals, correlation(a, b))


@pytest.mark.parametrize(
    ("counts", "low", "high"), [((36, 12, 2, 0), 0.0569, 0.3404), ((54, 0, 0, 0), -0.0664, 0.0664)]
)
def test_a_difference_of_paired_shares_has_the_published_interval(
    counts: tuple[int, int, int, int], low: float, high: float
) -> None:
    """Newcombe, Statistics in Medicine 17 (1998), pages 2635-2650, method 10."""
    found = of_pairs(*counts)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_the_interval_of_a_paired_difference_turns_round_with_its_models() -> None:
    one, other = of_pairs(20, 9, 3, 18), of_pairs(20, 3, 9, 18)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


def test_models_that_agree_on_every_sample_may_yet_differ() -> None:
    found = of_pairs(30, 0, 0, 20)
    assert found.low == pytest.approx(-found.high) and 0.02 < found.high < 0.08


def test_the_interval_of_a_paired_difference_holds_the_truth_in_95_of_100_cases() -> None:
    """60 samples, shares 0.7 and 0.5 that agree on most. 1000 draws: 930 or fewer come by luck once in 300 times where 95 of 100 do."""
    luck, held = np.random.default_rng(3), 0
    for _ in range(1000):
        both, first, second, neither = luck.multinomial(60, (0.45, 0.25, 0.05, 0.25))
        found = of_pairs(int(both), int(first), int(second), int(neither))
        held += found.low <= 0.2 <= found.high
    assert held > 930


def test_a_correlation_needs_the_same_samples_and_is_none_where_nothing_varies() -> None:
    assert correlation([1.0, 1.0], [0.0, 1.0]) == 0.0
    with pytest.raises(EvaluationError, match="2 and 1 scores"):
        correlation([1.0, 1.0], [0.0])
