"""What mergekit's rules do otherwise than ours, each by a number worked out by hand; its own numbers are in `test_against_mergekit.py`."""

from __future__ import annotations

import pytest
import torch

from merging.errors import TensorError
from merging.methods import methods
from merging.peer_draws import PeerDraws
from merging.peer_rules import rules

HALF = {"weight": 1.0, "density": 0.5}


def merge(
    name: str,
    parents: list[torch.Tensor],
    base: torch.Tensor | None = None,
    values: list[dict[str, float]] | None = None,
    draws: PeerDraws | None = None,
    **changed: float | bool,
) -> torch.Tensor:
    given = methods.get(name).default_settings() | changed
    return rules[name](base, parents, values or [{}] * len(parents), given, draws or PeerDraws(0))


def bf16(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.bfloat16)


def test_weights_are_rounded_before_the_product() -> None:
    """0.3 is 0.30078125 in bfloat16; of 200 that is 60.16, which rounds to 60.25, not to 60."""
    assert merge("task_arithmetic", [bf16(200)], bf16(0), [{"weight": 0.3}]).tolist() == [60.25]
    assert merge("linear", [bf16(200)], None, [{"weight": 0.3}], normalize=False).tolist() == [60.0]


def test_ties_rounds_counts_down_and_keeps_what_is_equal_at_the_threshold() -> None:
    tau = torch.tensor([1.0, -2.0, 2.0, 3.0, 0.5])
    merged = merge("ties", [tau], torch.zeros(5), [{"weight": 1.0, "density": 0.5}])
    assert merged.tolist() == [0, -2, 2, 3, 0]


@pytest.mark.parametrize(("gamma", "expected"), [(0.0, [0, 4, 5]), (0.34, [3, 4, 0]), (1.0, [3, 4, 0])])
def test_breadcrumbs_keeps_its_share_below_the_outliers(gamma: float, expected: list[float]) -> None:
    """Of three keep two; where outliers would leave fewer than two, fewer of them go."""
    tau, values = torch.tensor([3.0, 4.0, 5.0]), [{"weight": 1.0, "density": 0.67}]
    assert merge("breadcrumbs", [tau], torch.zeros(3), values, gamma=gamma).tolist() == expected


def test_dare_matches_the_sum_of_magnitudes() -> None:
    tau = torch.arange(1.0, 101.0)
    merged = merge("dare_linear", [tau], torch.zeros(100), [HALF])
    shares = (merged / tau)[merged != 0]
    assert float(merged.sum()) == pytest.approx(float(tau.sum()), rel=1e-6)
    assert 0 < len(shares) < 100 and float(shares.max() - shares.min()) < 1e-6


def test_without_rescaling_what_is_kept_stays_as_it_is() -> None:
    tau = torch.arange(1.0, 101.0)
    merged = merge("dare_ties", [tau], torch.zeros(100), [HALF], rescale=False)
    assert set((merged / tau).tolist()) == {0.0, 1.0}


def test_masks_come_from_one_stream_for_all_tensors_and_parents() -> None:
    """torch's own, in the order of the calls; density 1 draws nothing."""
    ones, zeros, draws = torch.ones(50), torch.zeros(50), PeerDraws(7)
    full = {"weight": 1.0, "density": 1.0}
    merge("dare_linear", [ones], zeros, [full], draws)
    first = merge("dare_linear", [ones], zeros, [HALF], draws, rescale=False)
    second = merge("dare_linear", [ones], zeros, [HALF], draws, rescale=False)
    generator = torch.Generator().manual_seed(7)
    expected = [torch.bernoulli(torch.full((50,), 0.5), generator=generator) for _ in range(2)]
    assert torch.equal(first, expected[0]) and torch.equal(second, expected[1])


def test_a_density_is_rounded_to_bfloat16() -> None:
    """0.9 is 0.8984375 there."""
    ones, given = torch.ones(1000).bfloat16(), {"weight": 1.0, "density": 0.9}
    kept = merge("dare_linear", [ones], torch.zeros_like(ones), [given], rescale=False)
    drawn = torch.bernoulli(torch.full_like(ones, 0.8984375), generator=torch.Generator().manual_seed(0))
    assert torch.equal(kept, drawn)


@pytest.mark.parametrize(("density", "shape", "said"), [(0.9, (4, 4), "leaves"), (0.5, (4, 1), "cannot rank")])
def test_della_refuses_what_mergekit_cannot_merge(density: float, shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(TensorError, match=said):
        merge("della", [torch.ones(shape)], torch.zeros(shape), [{"weight": 1.0, "density": density}], epsilon=0.15)


def test_slerp_goes_straight_between_close_relatives() -> None:
    one, two = torch.tensor([1.0, 0.0]), torch.tensor([1.0, 0.02])
    assert torch.equal(merge("slerp", [one, two], t=0.5), 0.5 * one + 0.5 * two)


def test_row_wise_takes_columns() -> None:
    one, two = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    values = [{"weight": 1.0}, {"weight": 2.0}]
    rows = merge("nuslerp", [one, two + one], None, values, flatten=False, column_wise=False)
    columns = merge("nuslerp", [one.T, (two + one).T], None, values, flatten=False, column_wise=True)
    assert torch.equal(rows, columns.T)


def test_model_stock_steps_away_from_parents_that_contradict_each_other() -> None:
    """cos = -0.6 of two: t = -1.2 / 0.4 = -3."""
    base, one, two = torch.zeros(2), torch.tensor([1.0, 0.0]), torch.tensor([-0.6, 0.8])
    assert merge("model_stock", [one, two], base).tolist() == pytest.approx([-0.6, -1.2], rel=1e-5)


def test_sce_weights_short_changes_alike() -> None:
    one, two = torch.tensor([2e-5, 2e-5]), torch.tensor([1e-5, -1e-5])
    assert merge("sce", [one, two], torch.zeros(2), select_topk=1.0).tolist() == pytest.approx([1.5e-5, 2e-5])


def test_nearswap_counts_differences_as_a_millionth_at_least() -> None:
    base, parent = torch.zeros(2), torch.tensor([1e-8, 1.0])
    assert merge("nearswap", [parent], base, t=1e-7).tolist() == pytest.approx([1e-9, 1e-7])


def test_arcee_fusion_leaves_in_float32() -> None:
    assert merge("arcee_fusion", [bf16(1, 2, 3)], bf16(1, 2, 4)).dtype == torch.float32


def test_multislerp_refuses_three_parents_that_cancel_out() -> None:
    one, values = torch.tensor([1.0, 0.0]), [{"weight": weight} for weight in (1.0, 1.0, 2.0)]
    with pytest.raises(TensorError, match="cancel out"):
        merge("multislerp", [one, one, -one], None, values)


@pytest.mark.parametrize("name", rules)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_rules_keep_shape_and_dtype_and_write_to_no_input(name: str, dtype: torch.dtype) -> None:
    method = methods.get(name)
    generator = torch.Generator().manual_seed(3)
    parents = [torch.randn(4, 6, generator=generator).to(dtype) for _ in range((method.max_parents or 3) + 1)]
    before = [parent.clone() for parent in parents]
    values = [{p.name: p.default for p in method.per_parent()} for _ in parents[1:]]
    shared = {p.name: p.default for p in method.per_group()}
    merged = merge(name, parents[1:], parents[0] if method.needs_base else None, values, **shared)
    assert merged.shape == (4, 6) and merged.dtype == (torch.float32 if name == "arcee_fusion" else dtype)
    assert all(torch.equal(was, now) for was, now in zip(before, parents, strict=True))
