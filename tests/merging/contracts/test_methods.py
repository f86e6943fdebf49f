"""Laws that every registered merge method keeps, whatever its arithmetic."""

from __future__ import annotations

import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merging.draws import Draws
from merging.masks import keep_largest
from merging.methods import methods
from merging.methods.method import Method, Settings

ALL = pytest.mark.parametrize("method", list(methods), ids=methods.names())
WEIGHTED = [method for method in methods if any(p.name == "weight" for p in method.per_parent())]
RANDOM = ("dare_linear", "dare_ties", "della", "della_linear")
OVER_BASE = [method for method in methods if method.needs_base]
SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple)


def some(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def merge(
    method: Method,
    base: torch.Tensor | None,
    parents: list[torch.Tensor],
    values: list[dict[str, float]],
    **changed: float | bool,
) -> torch.Tensor:
    given: Settings = method.default_settings() | changed
    return method.merge(base if method.needs_base else None, parents, values, given, Draws(5, "a.tensor"))


def count(method: Method) -> int:
    return method.max_parents or 3


def values_of(method: Method, **fixed: float) -> dict[str, float]:
    return {p.name: fixed.get(p.name, p.default) for p in method.per_parent()}


@ALL
def test_a_method_is_declared_in_full(method: Method) -> None:
    assert methods.get(method.name) is method
    assert method.title and method.summary.endswith(".") and "http" in method.source
    assert method.min_parents >= 1 and (method.max_parents is None or method.min_parents <= method.max_parents)
    assert inspect.getdoc(method.merge)


@ALL
def test_parameters_have_defaults_inside_their_bounds(method: Method) -> None:
    names = [p.name for p in method.parameters]
    assert len(set(names)) == len(names)
    for p in method.parameters:
        assert p.low < p.high and p.low <= p.default <= p.high and p.help.endswith(".")
        if p.kind == "real":
            assert p.check(p.low, "x") == p.low and p.check(p.high, "x") == p.high
        else:
            assert (p.low, p.high, p.per) == (0, 1, "recipe")


@ALL
@given(shape=SHAPES, seed=st.integers(0, 1000))
@settings(max_examples=15)
def test_the_result_is_float32_of_the_same_shape_and_inputs_stay(
    method: Method, shape: tuple[int, ...], seed: int
) -> None:
    base, parents = some(shape, seed), [some(shape, seed + i + 1) for i in range(count(method))]
    before = [tensor.clone() for tensor in (base, *parents)]
    merged = merge(method, base, parents, [values_of(method)] * len(parents))
    assert merged.shape == shape and merged.dtype == torch.float32 and bool(torch.isfinite(merged).all())
    assert all(torch.equal(was, now) for was, now in zip(before, (base, *parents), strict=True))


@ALL
@given(seed=st.integers(0, 1000))
@settings(max_examples=15)
def test_the_same_recipe_gives_the_same_bits(method: Method, seed: int) -> None:
    base, parents = some((7, 3), seed), [some((7, 3), seed + i + 1) for i in range(count(method))]
    values = [values_of(method)] * len(parents)
    assert torch.equal(merge(method, base, parents, values), merge(method, base, parents, values))


@ALL
@given(seed=st.integers(0, 1000))
@settings(max_examples=15)
def test_one_parent_with_weight_one_is_that_parent(method: Method, seed: int) -> None:
    """base + (parent - base) rounds twice: to 2 ulp of numbers below 4."""
    base, parent = some((4, 4), seed), some((4, 4), seed + 1)
    merged = merge(method, base, [parent], [values_of(method, weight=1.0, density=1.0)])
    assert torch.allclose(merged, parent, rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", OVER_BASE, ids=lambda method: method.name)
def test_parents_equal_to_the_base_leave_it_exactly(method: Method) -> None:
    base = some((5, 5), 3)
    assert torch.equal(merge(method, base, [base, base], [values_of(method)] * 2), base)


@pytest.mark.parametrize("method", OVER_BASE, ids=lambda method: method.name)
def test_weights_of_zero_leave_the_base_exactly(method: Method) -> None:
    base, parents = some((5, 5), 3), [some((5, 5), 4), some((5, 5), 5)]
    assert torch.equal(merge(method, base, parents, [values_of(method, weight=0.0)] * 2), base)


@pytest.mark.parametrize("method", OVER_BASE, ids=lambda method: method.name)
def test_a_lambda_of_zero_leaves_the_base_exactly(method: Method) -> None:
    base, parents = some((5, 5), 3), [some((5, 5), 4), some((5, 5), 5)]
    assert torch.equal(merge(method, base, parents, [values_of(method)] * 2, **{"lambda": 0.0}), base)


@pytest.mark.parametrize("method", WEIGHTED, ids=lambda method: method.name)
def test_a_parent_of_weight_zero_takes_no_part(method: Method) -> None:
    base, one, other = (some((6, 6), seed) for seed in (1, 2, 3))
    chosen, absent = values_of(method), values_of(method, weight=0.0)
    assert torch.equal(merge(method, base, [one, other], [chosen, absent]), merge(method, base, [one], [chosen]))


@pytest.mark.parametrize("method", WEIGHTED, ids=lambda method: method.name)
@pytest.mark.parametrize("normalize", [False, True])
def test_the_order_of_parents_does_not_matter(method: Method, normalize: bool) -> None:
    """To rounding: float32 sums of three numbers near 1. Random masks belong to places, so they are tried where they drop nothing."""
    base, parents = some((6, 6), 1), [some((6, 6), seed) for seed in (2, 3, 4)]
    values = [
        values_of(method, weight=weight, density=1.0 if method.name in RANDOM else 0.6) for weight in (0.5, 1.25, 0.75)
    ]
    forward = merge(method, base, parents, values, normalize=normalize)
    backward = merge(method, base, parents[::-1], values[::-1], normalize=normalize)
    assert torch.allclose(forward, backward, rtol=0, atol=2e-6)


@pytest.mark.parametrize("method", WEIGHTED, ids=lambda method: method.name)
def test_normalised_equal_parents_merge_to_themselves(method: Method) -> None:
    """To rounding of base + (parent - base)."""
    base, parent = some((6, 6), 1), some((6, 6), 2)
    merged = merge(method, base, [parent] * 3, [values_of(method, weight=0.7, density=1.0)] * 3, normalize=True)
    assert torch.allclose(merged, parent, rtol=0, atol=1e-6)


def test_ties_at_full_density_on_agreeing_parents_is_task_arithmetic() -> None:
    base = some((6, 6), 1)
    parents = [base + some((6, 6), 2).abs(), base + some((6, 6), 3).abs()]
    ties = merge(methods.get("ties"), base, parents, [{"weight": 0.8, "density": 1.0}] * 2)
    arithmetic = merge(methods.get("task_arithmetic"), base, parents, [{"weight": 0.8}] * 2)
    assert torch.allclose(ties, arithmetic, rtol=0, atol=1e-6)


def test_ties_of_one_parent_trims_its_task_vector() -> None:
    base, parent = some((6, 6), 1), some((6, 6), 2)
    merged = merge(methods.get("ties"), base, [parent], [{"weight": 1.0, "density": 0.25}])
    assert torch.equal(merged, base + keep_largest(parent - base, 0.25))


@pytest.mark.parametrize("name", RANDOM)
def test_random_methods_are_right_in_expectation(name: str) -> None:
    """One parent: the mean over S = 400 seeds of base + m tau / p is the parent, within 5 x |tau| sqrt((1-p)/(p S)).

    Fixed seeds; 5 standard deviations would fail one in 30,000 times for 50 elements. DELLA's p is at least 0.35.
    """
    base, parent = some((50,), 1), some((50,), 2)
    method, given = methods.get(name), methods.get(name).default_settings()
    drawn = [method.merge(base, [parent], [{"weight": 1.0, "density": 0.5}], given, Draws(s, "t")) for s in range(400)]
    p = 0.5 - float(given.get("epsilon", 0.0))
    bound = 5 * (parent - base).abs() * ((1 - p) / (p * 400)) ** 0.5 + 1e-6
    assert bool(((torch.stack(drawn).mean(dim=0) - parent).abs() <= bound).all())


def test_dare_ties_draws_other_masks_for_other_tensors_and_parents() -> None:
    base, parent = torch.zeros(64), torch.ones(64)
    method, given = methods.get("dare_ties"), methods.get("dare_ties").default_settings()
    half = {"weight": 1.0, "density": 0.5}
    one = method.merge(base, [parent], [half], given, Draws(0, "a"))
    other = method.merge(base, [parent], [half], given, Draws(0, "b"))
    both = method.merge(base, [parent, parent], [half, half], given, Draws(0, "a"))
    assert not torch.equal(one, other) and set(both.tolist()) == {0.0, 2.0, 4.0}
