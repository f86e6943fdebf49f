"""Inner products, arcs and mean directions: against float64, slow references and limits. Kernels compile when first called, so
no test has a deadline.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merging import spheres
from merging.spheres import arc, combine, cosines, length_of, mean_direction, products, row_products

SEEDS = st.integers(0, 10**6)


def vectors(n: int, shape: tuple[int, ...], seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for _ in range(n)]


def angle_of(vector: torch.Tensor) -> float:
    return math.atan2(float(vector[1]), float(vector[0]))


def along(angle: float, length: float = 1.0) -> torch.Tensor:
    return length * torch.tensor([math.cos(angle), math.sin(angle)])


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(0, 3 * spheres.WIDTH), SEEDS)
def test_products_are_those_of_float64(n: int, size: int, seed: int) -> None:
    """To 1e-12 of the lengths: float64 sums of a few thousand terms, in another order."""
    parents = vectors(n, (size,), seed)
    stacked = torch.stack(parents).double()
    found, expected = products(parents), (stacked @ stacked.T).numpy()
    assert found.dtype == np.float64 and np.allclose(found, expected, rtol=0, atol=1e-12 * max(1, size))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_products_of_narrow_tensors_are_those_of_the_same_numbers_in_float32(dtype: torch.dtype) -> None:
    """To the bit, in as many spans and blocks as three million elements have."""
    parents, (base,) = [v.to(dtype) for v in vectors(2, (3_000_001,), 1)], vectors(1, (3_000_001,), 2)
    narrow, wide = products(parents, base), products([parent.float() for parent in parents], base)
    assert np.array_equal(narrow, wide)


def test_other_dtypes_go_without_a_kernel() -> None:
    parents = vectors(3, (2 * spheres.WIDTH + 5,), 1)
    assert np.allclose(products(parents), products([parent.double() for parent in parents]), rtol=1e-12)


def test_differences_from_a_base_are_exact() -> None:
    """In float32, parent - base would round 1e-9 away."""
    base, parent = torch.full((3,), 1.0), torch.full((3,), 1.0 + 2**-23)
    assert products([parent], base).item() == 3 * 2**-46


def test_products_of_rows_are_the_products_of_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spheres, "BLOCK", 20)
    parents, (base,) = vectors(3, (4, 2, 9), 1), vectors(1, (4, 2, 9), 2)
    found = row_products(parents, base)
    for row in range(8):
        one = [parent.view(8, 9)[row] for parent in parents]
        assert np.allclose(found[row], products(one, base.view(8, 9)[row]), rtol=1e-12)


def test_a_zero_vector_has_the_cosine_that_is_asked_for() -> None:
    found = cosines(products([torch.zeros(3), torch.ones(3)]), of_zero=0.25)
    assert found[0, 1] == 0.25 and found[1, 1] == pytest.approx(1, rel=1e-15)


@given(st.floats(0.001, 3.1), st.floats(0, 1))
def test_an_arc_turns_at_an_even_speed(theta: float, t: float) -> None:
    """From (1, 0) to the angle theta: at t the angle is t theta, and the length 1. Coefficients near pi are up to 25 times the lengths."""
    first, second = arc(np.array(math.cos(theta)), t)
    at = float(first) * along(0).double() + float(second) * along(theta).double()
    assert angle_of(at) == pytest.approx(t * theta, abs=1e-5) and float(at.norm()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("cosine", [1.0, 1 - 1e-12, -1.0, -1 + 1e-12])
def test_equal_and_opposite_directions_are_joined_by_a_straight_line(cosine: float) -> None:
    first, second = arc(np.array(cosine), 0.3)
    assert float(first) == 0.7 and float(second) == 0.3


def test_an_arc_does_not_jump_where_it_becomes_straight() -> None:
    at = [arc(np.array(math.cos(theta)), 0.3)[0] for theta in (0.99e-4, 1.01e-4)]
    assert abs(float(at[0] - at[1])) < 1e-9


@settings(deadline=None)
@given(st.lists(st.floats(-1.5, 1.5), min_size=1, max_size=5))
def test_in_the_plane_the_mean_direction_is_the_mean_of_the_angles(angles: list[float]) -> None:
    """Within half a circle. To 1e-6: directions are float32."""
    units = [along(angle) for angle in angles]
    found = mean_direction(cosines(products(units), of_zero=0.0).tolist(), max_iter=100, tol=1e-9)
    assert found is not None
    assert angle_of(combine(units, found)) == pytest.approx(sum(angles) / len(angles), abs=2e-6)


def test_a_step_of_no_length_is_the_last_one() -> None:
    """Whatever `tol` is: the mean of one direction, or of the same one many times, is that direction."""
    for n in (1, 2, 4):
        mean = mean_direction([[1.0] * n] * n, max_iter=10, tol=0.0)
        assert mean is not None and sum(mean) == pytest.approx(1.0, abs=1e-12)  # a few roundings of float64


def test_directions_that_cancel_out_have_no_mean() -> None:
    third = 2 * math.pi / 3
    for units in ([], [along(0), along(math.pi)], [along(i * third).double() for i in range(3)]):
        found = cosines(products(units), of_zero=0.0).tolist() if units else []
        assert mean_direction(found, max_iter=10, tol=1e-9) is None


@settings(deadline=None)
@given(st.integers(1, 4), SEEDS)
def test_the_length_of_a_sum_is_read_off_the_products(n: int, seed: int) -> None:
    parents = vectors(n, (7,), seed)
    coefficients = [0.5, -1.0, 2.0, 0.25][:n]
    expected = combine(parents, coefficients).norm().item()
    assert length_of(coefficients, products(parents).tolist()) == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_a_sum_over_a_base_adds_differences() -> None:
    base, one, two = torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 2.0]]), torch.tensor([[1.0, 4.0]])
    assert combine([one, two], [0.5, 2.0], base).tolist() == [[1.5, 6.0]]
    assert combine([one, two], [np.array([[2.0]]), 0.0], base).tolist() == [[3.0, 2.0]]
