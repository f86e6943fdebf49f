"""What single methods do, by numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from merging.draws import Draws
from merging.errors import TensorError
from merging.methods import methods
from merging.methods.arcee_fusion import divergence

RIGHT, UP, FRONT = (torch.eye(3)[i] for i in range(3))


def merge(
    name: str,
    parents: list[torch.Tensor],
    base: torch.Tensor | None = None,
    weights: list[float] | None = None,
    **changed: float | bool,
) -> torch.Tensor:
    method = methods.get(name)
    values = [{"weight": weight} for weight in weights] if weights else [{}] * len(parents)
    return method.merge(base, parents, values, method.default_settings() | changed, Draws(0, "t"))


def near(*expected: float) -> object:
    return pytest.approx(list(expected), rel=1e-6, abs=1e-7)


def test_slerp_a_third_of_the_way_is_thirty_degrees() -> None:
    assert merge("slerp", [2 * RIGHT, 2 * UP], t=1 / 3).tolist() == near(math.sqrt(3), 1, 0)


def test_slerp_of_close_relatives_follows_the_arc() -> None:
    """At a cosine of 0.9998 a straight line would shorten by 2.5e-5 what is 1 long everywhere on the arc."""
    close = torch.tensor([math.cos(0.02), math.sin(0.02), 0.0], dtype=torch.float64).float()
    merged = merge("slerp", [RIGHT, close], t=0.5).double()
    assert float(merged.norm()) == pytest.approx(1, abs=2e-7) and math.atan2(merged[1], merged[0]) == pytest.approx(
        0.01
    )


def test_slerp_of_opposite_parents_goes_straight() -> None:
    assert merge("slerp", [RIGHT, -RIGHT], t=0.25).tolist() == [0.5, 0, 0]


def test_nuslerp_takes_rows_or_columns_for_vectors_as_it_is_told() -> None:
    """In every row a quarter circle; in the first column 90 degrees, in the second 0 or 90."""
    one, two = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    half = math.sqrt(0.5)
    rows = merge("nuslerp", [one, two], weights=[1, 1], flatten=False)
    assert rows.tolist() == [near(half, half), near(0, 1)]
    columns = merge("nuslerp", [one, two], weights=[1, 1], flatten=False, column_wise=True)
    expected = merge("nuslerp", [one.T, two.T], weights=[1, 1], flatten=False).T
    assert torch.equal(columns, expected) and not torch.allclose(columns, rows)


def test_nuslerp_over_a_base_turns_changes() -> None:
    base = torch.tensor([5.0, 5.0, 5.0])
    merged = merge("nuslerp", [base + RIGHT, base + UP], base, weights=[2, 1])
    assert merged.tolist() == near(5 + math.cos(math.pi / 6), 5.5, 5)


def test_multislerp_is_as_long_as_its_parents_on_average() -> None:
    """Directions (2, 1, 1) / sqrt(6) by weights 2 : 1 : 1; lengths 1, 2 and 4 average 2."""
    merged = merge("multislerp", [RIGHT, 2 * UP, 4 * FRONT], weights=[2, 1, 1])
    assert merged.tolist() == near(*(2 * x / math.sqrt(6) for x in (2, 1, 1)))


def test_multislerp_of_directions_that_cancel_out_is_their_plain_sum() -> None:
    assert merge("multislerp", [RIGHT, -3 * RIGHT], weights=[1, 1]).tolist() == [-1, 0, 0]


def test_the_karcher_mean_of_three_axes_lies_between_them() -> None:
    merged = merge("karcher", [RIGHT, 2 * UP, 3 * FRONT])
    assert merged.tolist() == near(*[2 / math.sqrt(3)] * 3)


def test_the_karcher_mean_of_two_is_halfway_between_them() -> None:
    """Where a plain mean of unit vectors is as well, but of three in a plane only this one has the mean angle."""
    three = [torch.tensor([math.cos(angle), math.sin(angle)]) for angle in (0.0, 0.1, 1.4)]
    x, y = merge("karcher", three).tolist()
    assert math.atan2(y, x) == pytest.approx(0.5, abs=1e-6)


def test_model_stock_of_parents_at_sixty_degrees() -> None:
    """cos = 1/2 of two: t = 2 x 0.5 / 1.5 = 2/3 of the way to the mean of their changes."""
    base = torch.tensor([1.0, 1.0, 1.0])
    merged = merge("model_stock", [base + RIGHT, base + 0.5 * RIGHT + math.sqrt(0.75) * UP], base)
    assert merged.tolist() == near(1 + 0.5, 1 + math.sqrt(0.75) / 3, 1)


def test_model_stock_of_parents_that_contradict_each_other_is_the_base() -> None:
    base = torch.tensor([1.0, 2.0, 3.0])
    assert torch.equal(merge("model_stock", [base + RIGHT, base - RIGHT + 0.5 * UP], base), base)


def test_model_stock_measures_short_changes_as_it_measures_long_ones() -> None:
    """mergekit's lengths count as 1e-6 together at least, which would make this cos 1e-4."""
    base, short = torch.zeros(3), 1e-5 * RIGHT
    assert torch.allclose(merge("model_stock", [short, short], base), short)


def test_model_stock_of_rows_measures_each_row() -> None:
    base = torch.zeros(2, 3)
    agree, cross = torch.stack([RIGHT, RIGHT]), torch.stack([RIGHT, UP])
    assert merge("model_stock", [agree, cross], base, filter_wise=True).tolist() == [near(1, 0, 0), near(0, 0, 0)]


def test_sce_weights_parents_by_energy_and_erases_the_minority() -> None:
    """Energies 4 + 4 and 1 + 1: weights 0.8 and 0.2. They agree on the first element; on the second the sum is positive."""
    one, two = torch.tensor([2.0, 2.0]), torch.tensor([1.0, -1.0])
    assert merge("sce", [one, two], torch.zeros(2), select_topk=1.0).tolist() == near(1.8, 2)


def test_sce_weights_short_changes_as_well() -> None:
    one, two = torch.tensor([2e-5, 2e-5]), torch.tensor([1e-5, -1e-5])
    assert merge("sce", [one, two], torch.zeros(2), select_topk=1.0).tolist() == near(1.8e-5, 2e-5)


def test_sce_selects_where_parents_differ_most() -> None:
    """Variances 1, 0.25, 0 and 0: half of the two elements with any is the first alone."""
    one, two = torch.tensor([1.0, 1.0, 3.0, 0.0]), torch.tensor([3.0, 2.0, 3.0, 0.0])
    merged = merge("sce", [one, two], torch.zeros(4), select_topk=0.5)
    assert merged.tolist() == near((1 * 1 + 3 * 9) / 10, 0, 0, 0)


def test_nearswap_goes_no_further_than_its_step() -> None:
    base, parent = torch.tensor([1.0, 1.0, 1.0]), torch.tensor([1.25, 3.0, -3.0])
    assert merge("nearswap", [parent], base, t=0.5).tolist() == [1.25, 1.5, 0.5]
    assert torch.equal(merge("nearswap", [parent], base, t=0.0), base)


def test_arcee_fusion_keeps_the_outliers_of_importance() -> None:
    """One row, so one divergence: importance is the change. Quartiles 1 and 3 of 0 to 4, and 100: threshold 2 + 1.5 x 2."""
    base, change = torch.zeros(6), torch.tensor([0.0, 1, 2, 3, 4, 100]) / 64
    assert merge("arcee_fusion", [base + change], base).tolist() == [0, 0, 0, 0, 0, 100 / 64]


def test_arcee_fusion_measures_divergences_that_float32_cannot() -> None:
    """One of 500 equal logits moves by d: p (1 - p) d^2 / 2, here 1e-11 and 4e-11, for p = 1/500."""
    base = torch.zeros(2, 500)
    parent = base.clone()
    parent[0, 0], parent[1, 0] = 1e-4, 2e-4
    expected = [0.5 * 0.002 * 0.998 * d**2 for d in (1e-4, 2e-4)]
    assert divergence(parent, base).flatten().tolist() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_passthrough_scales_and_copies_only_then(scale: float) -> None:
    parent = torch.ones(2)
    merged = methods.get("passthrough").merge(None, [parent], [{"scale": scale}], {}, Draws(0, "t"))
    assert merged.tolist() == [scale, scale] and (merged is parent) == (scale == 1)


@pytest.mark.parametrize("name", ["nearswap", "arcee_fusion", "sce"])
def test_a_missing_base_is_said(name: str) -> None:
    with pytest.raises(TensorError, match="base model"):
        merge(name, [torch.ones(2)], None, t=0.1, select_topk=1.0)
