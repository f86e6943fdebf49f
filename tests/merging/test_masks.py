"""The arithmetic of methods: hand-worked 2x2 matrices, slow references of a few lines, limits."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merging.draws import Draws
from merging.errors import TensorError
from merging.masks import (
    add_to_base,
    disjoint_sum,
    keep_largest,
    keep_middle,
    keep_random,
    keep_ranked,
    task_vectors,
    weighted_sum,
)

SIZES = st.integers(0, 40)
DENSITIES = st.floats(0.01, 1)
SEEDS = st.integers(0, 10**6)


def random(n: int, seed: int, with_ties: bool = False) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(n, generator=generator)
    return (drawn * 2).round() / 2 if with_ties else drawn


def largest_slowly(tau: torch.Tensor, density: float) -> torch.Tensor:
    k = max(1, round(density * len(tau)))
    least = sorted(tau.abs().tolist(), reverse=True)[k - 1] if len(tau) else 0.0
    return torch.tensor([x if abs(x) >= least else 0.0 for x in tau.tolist()])


def disjoint_slowly(taus: list[torch.Tensor], weights: list[float], normalize: bool) -> list[float]:
    found = []
    for column in zip(*((tau * weight).tolist() for tau, weight in zip(taus, weights, strict=True)), strict=True):
        sign = 1 if sum(s for s in column if s > 0) + sum(s for s in column if s < 0) >= 0 else -1
        agreeing = [(s, w) for s, w in zip(column, weights, strict=True) if s * sign > 0]
        divisor = sum(w for _, w in agreeing) if normalize else 1
        found.append(sum(s for s, _ in agreeing) / (divisor if abs(divisor) > 1e-8 else 1))
    return found


def test_keep_largest_of_a_two_by_two() -> None:
    tau = torch.tensor([[0.1, -0.4], [0.3, -0.2]])
    assert keep_largest(tau, 0.5).tolist() == torch.tensor([[0, -0.4], [0.3, 0]]).tolist()


def test_equal_magnitudes_live_or_die_together() -> None:
    tau = torch.tensor([1.0, -2.0, 2.0, -3.0, 2.0])
    assert keep_largest(tau, 0.4).tolist() == [0, -2, 2, -3, 2]
    assert keep_middle(tau, 0.2, 0.2).tolist() == [0, -2, 2, 0, 2]


def test_breadcrumbs_keep_what_lies_between_outliers_and_noise() -> None:
    tau = torch.tensor([5.0, -4.0, 3.0, -2.0, 1.0])
    assert keep_middle(tau, 0.4, 0.2).tolist() == [0, -4, 3, 0, 0]
    assert keep_middle(tau, 0.9, 0.2).tolist() == [0, -4, 3, -2, 1]


def test_however_many_are_outliers_one_element_stays() -> None:
    assert torch.equal(keep_middle(torch.tensor([3.0, -1.0, 2.0]), 0.5, gamma=1.0), torch.tensor([0.0, -1.0, 0.0]))
    assert keep_middle(torch.empty(0), 0.5, gamma=1.0).numel() == 0


def test_della_keeps_the_large_more_often_in_equal_steps() -> None:
    """Ten ranks, 4,000 rows: shares kept within 0.04 of 0.35 to 0.65, five standard deviations of 0.0079."""
    tau = torch.arange(1.0, 11.0).repeat(4000, 1)
    kept = keep_ranked(tau, 0.5, 0.15, Draws(1, "t"), 0)
    assert torch.allclose((kept != 0).float().mean(0), torch.linspace(0.35, 0.65, 10), rtol=0, atol=0.04)


def test_della_divides_by_the_probability_of_staying() -> None:
    tau = torch.tensor([[-3.0, 1.0, 2.0]]).repeat(50, 1)
    kept = keep_ranked(tau, 0.5, 0.25, Draws(1, "t"), 0)
    for column, expected in enumerate((-3 / 0.75, 1 / 0.25, 2 / 0.5)):
        assert {round(x, 5) for x in kept[:, column].tolist()} == {0.0, round(expected, 5)}


@pytest.mark.parametrize("density", [0.02, 0.97])
def test_della_stays_finite_where_a_density_is_near_its_bounds(density: float) -> None:
    kept = keep_ranked(random(60, 1).view(6, 10), density, 0.3, Draws(1, "t"), 0)
    assert bool(torch.isfinite(kept).all())


@given(SIZES, DENSITIES, SEEDS, st.booleans())
def test_keep_largest_equals_a_sort(n: int, density: float, seed: int, with_ties: bool) -> None:
    tau = random(n, seed, with_ties)
    assert keep_largest(tau, density).tolist() == largest_slowly(tau, density).tolist()


@given(st.integers(1, 40), DENSITIES, SEEDS)
def test_keep_largest_keeps_exactly_k_of_distinct_magnitudes(n: int, density: float, seed: int) -> None:
    assert int(keep_largest(random(n, seed), density).count_nonzero()) == max(1, round(density * n))


def test_disjoint_sum_of_a_two_by_two() -> None:
    """Elements: both agree; the larger mass is negative; one is zero and takes no part; equal masses elect plus."""
    one, two = torch.tensor([[1.0, 1.0], [0.0, 2.0]]), torch.tensor([[2.0, -3.0], [-4.0, -2.0]])
    assert disjoint_sum([one, two], [1, 1], normalize=False).tolist() == [[3, -3], [-4, 2]]
    assert disjoint_sum([one, two], [1, 1], normalize=True).tolist() == [[1.5, -3], [-4, 2]]


def test_weights_take_part_in_the_election() -> None:
    one, two = torch.tensor([1.0]), torch.tensor([-3.0])
    assert disjoint_sum([one, two], [4, 1], normalize=False).tolist() == [4]
    assert disjoint_sum([one, two], [4, 1], normalize=True).tolist() == [1]


@given(st.integers(1, 30), st.integers(1, 4), SEEDS, st.booleans(), st.booleans())
def test_disjoint_sum_equals_a_loop(n: int, n_parents: int, seed: int, normalize: bool, with_ties: bool) -> None:
    """To 1e-6, a few roundings of float32 for numbers near 1; exact where elections draw, because ties are halves."""
    taus = [random(n, seed + i, with_ties) for i in range(n_parents)]
    weights = [[1.0, 0.5, 2.0, 0.25][(seed + i) % 4] for i in range(n_parents)]
    slow = disjoint_slowly(taus, weights, normalize)
    assert disjoint_sum(taus, weights, normalize).tolist() == pytest.approx(slow, rel=1e-6, abs=1e-6)


@given(st.integers(1, 30), SEEDS)
def test_a_disjoint_sum_of_one_is_its_weighted_self(n: int, seed: int) -> None:
    tau = random(n, seed)
    assert torch.equal(disjoint_sum([tau], [0.7], normalize=False), tau * 0.7)


@given(st.integers(1, 30), SEEDS)
def test_a_disjoint_sum_with_itself_normalised_is_itself(n: int, seed: int) -> None:
    tau = random(n, seed)
    assert torch.equal(disjoint_sum([tau, tau], [1, 1], normalize=True), tau)


def test_weighted_sum_divides_by_the_weights_only_when_asked() -> None:
    tensors = [torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])]
    assert weighted_sum(tensors, [1, 3], normalize=False).tolist() == [10, 14]
    assert weighted_sum(tensors, [1, 3], normalize=True).tolist() == [2.5, 3.5]


@pytest.mark.parametrize("weights", [[0.0, 0.0], [1.0, -1.0]])
def test_weights_that_sum_to_nothing_divide_nothing(weights: list[float]) -> None:
    tensors = [torch.tensor([1.0]), torch.tensor([3.0])]
    assert torch.equal(weighted_sum(tensors, weights, normalize=True), weighted_sum(tensors, weights, normalize=False))
    assert torch.isfinite(disjoint_sum(tensors, weights, normalize=True)).all()


def test_keep_random_rescales_what_it_keeps() -> None:
    tau = torch.full((10_000,), 3.0)
    kept = keep_random(tau, 0.25, Draws(1, "t"), parent=0)
    assert set(kept.tolist()) == {0.0, 12.0}


@settings(max_examples=20)
@given(st.floats(0.05, 0.95), SEEDS)
def test_keep_random_keeps_the_expected_share(density: float, seed: int) -> None:
    """n = 20,000: five standard deviations; fails by luck once in 1.7 million draws, and hypothesis replays its draws."""
    n = 20_000
    share = float(keep_random(torch.ones(n), density, Draws(seed, "t"), 0).count_nonzero()) / n
    assert abs(share - density) < 5 * (density * (1 - density) / n) ** 0.5


def test_density_one_keeps_everything_as_it_is() -> None:
    tau = random(50, 1)
    assert torch.equal(keep_random(tau, 1.0, Draws(1, "t"), 0), tau)
    assert torch.equal(keep_largest(tau, 1.0), tau)


def test_nothing_is_written_to_the_inputs() -> None:
    base, taus = random(30, 1), [random(30, 2), random(30, 3)]
    before = [tensor.clone() for tensor in (base, *taus)]
    task_vectors(base, taus)
    weighted_sum(taus, [1, 2], normalize=True)
    disjoint_sum(taus, [1, 2], normalize=True)
    add_to_base(base, taus[0], 2)
    keep_largest(taus[0], 0.5)
    keep_random(taus[0], 0.5, Draws(0, "t"), 0)
    assert all(torch.equal(was, now) for was, now in zip(before, (base, *taus), strict=True))


def test_a_missing_base_is_said() -> None:
    with pytest.raises(TensorError, match="no"):
        task_vectors(None, [torch.ones(1)])
    with pytest.raises(TensorError, match="none"):
        add_to_base(None, torch.ones(1), 1)
