"""Laws that every registered merge method keeps, whatever its arithmetic."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merging.draws import Draws
from merging.masks import keep_largest
from merging.methods import methods
from merging.methods.method import Method, Settings

Tensors = list[torch.Tensor]

RANDOM = ("dare_linear", "dare_ties", "della", "della_linear")
NOT_SCALED = ("arcee_fusion",)
"""Softmax knows a scale."""
NOT_AN_AVERAGE = (
    "task_arithmetic",
    "breadcrumbs",
    "breadcrumbs_ties",
    *RANDOM,
    "nearswap",
    "arcee_fusion",
    "passthrough",
)
"""Of equal parents they make something else than that parent, unless told to normalise; or they have one parent."""
ORDERED = ("slerp", "nearswap", "arcee_fusion", "passthrough")

ALL = pytest.mark.parametrize("method", list(methods), ids=methods.names())
SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple)
TINY_SHAPES = [(), (0,), (3, 0), (1,), (1, 1), (2, 1), (1, 3), (2, 3, 4)]


def over(chosen: list[Method]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("method", chosen, ids=lambda method: method.name)


def has(method: Method, name: str) -> bool:
    return any(parameter.name == name for parameter in method.parameters)


WEIGHTED = [method for method in methods if has(method, "weight")]
WEIGHTED_ALONE = [method for method in WEIGHTED if method.min_parents == 1]
OVER_BASE = [method for method in methods if method.needs_base]
TAKES_BASE = [method for method in methods if method.base != "none"]
AVERAGES = [method for method in methods if method.name not in NOT_AN_AVERAGE]
UNORDERED = [method for method in methods if method.name not in ORDERED]


def some(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def some_parents(method: Method, shape: tuple[int, ...] = (6, 6), seed: int = 1) -> Tensors:
    return [some(shape, seed + i) for i in range(count(method))]


def merge(
    method: Method,
    base: torch.Tensor | None,
    parents: Tensors,
    values: list[dict[str, float]],
    **changed: float | bool,
) -> torch.Tensor:
    shared = {parameter.name: parameter.default for parameter in method.per_group()}
    given: Settings = method.default_settings() | shared | changed
    return method.merge(base if method.base != "none" else None, parents, values, given, Draws(5, "a.tensor"))


def count(method: Method) -> int:
    return method.max_parents or 3


def values_of(method: Method, **fixed: float) -> dict[str, float]:
    return {p.name: fixed.get(p.name, p.default) for p in method.per_parent()}


def flags(method: Method) -> Iterator[dict[str, bool]]:
    """The defaults, and each flag turned over alone."""
    yield {}
    for parameter in method.per_recipe():
        if parameter.kind == "flag":
            yield {parameter.name: not parameter.default}


def with_and_without_base(method: Method, base: torch.Tensor) -> list[torch.Tensor | None]:
    return {"none": [None], "optional": [None, base], "needed": [base]}[method.base]


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
@settings(max_examples=10, deadline=None)
def test_the_result_is_float32_of_the_same_shape_and_inputs_stay(
    method: Method, shape: tuple[int, ...], seed: int
) -> None:
    base, parents = some(shape, seed), some_parents(method, shape, seed + 1)
    before = [tensor.clone() for tensor in (base, *parents)]
    merged = merge(method, base, parents, [values_of(method)] * len(parents))
    assert merged.shape == shape and merged.dtype == torch.float32 and bool(torch.isfinite(merged).all())
    assert all(torch.equal(was, now) for was, now in zip(before, (base, *parents), strict=True))


@ALL
@pytest.mark.parametrize("shape", TINY_SHAPES, ids=str)
def test_scalars_empty_and_tiny_tensors_merge(method: Method, shape: tuple[int, ...]) -> None:
    parents = some_parents(method, shape)
    for base in with_and_without_base(method, some(shape, 9)):
        for changed in flags(method):
            merged = merge(method, base, parents, [values_of(method)] * len(parents), **changed)
            assert merged.shape == shape and bool(torch.isfinite(merged).all())


@ALL
@pytest.mark.parametrize("kind", ["zero", "equal", "opposite", "one is zero", "equal to the base", "far apart", "near"])
def test_degenerate_parents_give_finite_tensors(method: Method, kind: str) -> None:
    one = some((4, 5), 1)
    make: Mapping[str, list[torch.Tensor]] = {
        "zero": [torch.zeros(4, 5)] * 3,
        "equal": [one] * 3,
        "opposite": [one, -one, one],
        "one is zero": [torch.zeros(4, 5), one, 2 * one],
        "equal to the base": [some((4, 5), 9)] * 3,
        "far apart": [1e18 * one, 1e-18 * one, -1e18 * one],
        "near": [one, one + 1e-7, one - 1e-7],
    }
    parents = make[kind][: count(method)]
    for base in with_and_without_base(method, some((4, 5), 9)):
        for changed in flags(method):
            merged = merge(method, base, parents, [values_of(method)] * len(parents), **changed)
            assert bool(torch.isfinite(merged).all())


@ALL
@given(seed=st.integers(0, 1000))
@settings(max_examples=5, deadline=None)
def test_the_same_recipe_gives_the_same_bits(method: Method, seed: int) -> None:
    base, parents = some((7, 3), seed), some_parents(method, (7, 3), seed + 1)
    values = [values_of(method)] * len(parents)
    assert torch.equal(merge(method, base, parents, values), merge(method, base, parents, values))


@ALL
def test_the_number_of_threads_changes_no_bit(method: Method) -> None:
    """A matrix large enough for torch to share among threads."""
    base, parents, before, found = some((200, 201), 9), some_parents(method, (200, 201)), torch.get_num_threads(), []
    try:
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            found.append(merge(method, base, parents, [values_of(method)] * len(parents)))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


@over([method for method in methods if method.min_parents == 1 and method.name != "arcee_fusion"])
@given(seed=st.integers(0, 1000))
@settings(max_examples=5, deadline=None)
def test_one_parent_with_weight_one_is_that_parent(method: Method, seed: int) -> None:
    """base + (parent - base) rounds twice: to 2 ulp of numbers below 4. NearSwap goes all the way when it may."""
    base, parent = some((4, 4), seed), some((4, 4), seed + 1)
    far = {"t": 10.0} if method.name == "nearswap" else {}
    merged = merge(method, base, [parent], [values_of(method, weight=1.0, density=1.0)], **far)
    assert torch.allclose(merged, parent, rtol=0, atol=1e-6)


@over(TAKES_BASE)
def test_parents_equal_to_the_base_leave_it_exactly(method: Method) -> None:
    base = some((5, 5), 3)
    for changed in flags(method):
        merged = merge(method, base, [base] * count(method), [values_of(method)] * count(method), **changed)
        assert torch.equal(merged, base)


@over([method for method in OVER_BASE if method in WEIGHTED])
def test_weights_of_zero_leave_the_base_exactly(method: Method) -> None:
    base, parents = some((5, 5), 3), [some((5, 5), 4), some((5, 5), 5)]
    assert torch.equal(merge(method, base, parents, [values_of(method, weight=0.0)] * 2), base)


@over([method for method in methods if has(method, "lambda")])
def test_a_lambda_of_zero_leaves_the_base_exactly(method: Method) -> None:
    base, parents = some((5, 5), 3), [some((5, 5), 4), some((5, 5), 5)]
    assert torch.equal(merge(method, base, parents, [values_of(method)] * 2, **{"lambda": 0.0}), base)


@over(WEIGHTED_ALONE)
def test_a_parent_of_weight_zero_takes_no_part(method: Method) -> None:
    base, one, other = (some((6, 6), seed) for seed in (1, 2, 3))
    chosen, absent = values_of(method), values_of(method, weight=0.0)
    assert torch.equal(merge(method, base, [one, other], [chosen, absent]), merge(method, base, [one], [chosen]))


@pytest.mark.parametrize("changed", [{}, {"flatten": False}, {"flatten": False, "column_wise": True}], ids=str)
def test_nuslerp_by_a_weight_of_zero_is_the_other_parent(changed: dict[str, bool]) -> None:
    method, one, other = methods.get("nuslerp"), some((6, 5), 1), some((6, 5), 2)
    assert torch.equal(merge(method, None, [one, other], [{"weight": 0.7}, {"weight": 0.0}], **changed), one)
    assert torch.equal(merge(method, None, [one, other], [{"weight": 0.0}, {"weight": 0.7}], **changed), other)


@over(UNORDERED)
@pytest.mark.parametrize("normalize", [False, True])
def test_the_order_of_parents_does_not_matter(method: Method, normalize: bool) -> None:
    """To rounding: float32 sums of three numbers near 1. Random masks belong to places, so they are tried where they drop nothing."""
    base, parents = some((6, 6), 1), some_parents(method, seed=2)
    weights = (0.5, 1.25, 0.75)[: len(parents)]
    values = [values_of(method, weight=w, density=1.0 if method.name in RANDOM else 0.6) for w in weights]
    chosen = {name: normalize for name in ("normalize", "normalize_weights") if has(method, name)}
    forward = merge(method, base, parents, values, **chosen)
    backward = merge(method, base, parents[::-1], values[::-1], **chosen)
    assert torch.allclose(forward, backward, rtol=0, atol=2e-6)


def test_slerp_from_the_other_end_is_the_same_way_back() -> None:
    method, ends = methods.get("slerp"), [some((6, 6), 1), some((6, 6), 2)]
    there, back = merge(method, None, ends, [{}, {}], t=0.3), merge(method, None, ends[::-1], [{}, {}], t=0.7)
    assert torch.allclose(there, back, rtol=0, atol=1e-6)
    assert torch.equal(merge(method, None, ends, [{}, {}], t=0.0), ends[0])
    assert torch.equal(merge(method, None, ends, [{}, {}], t=1.0), ends[1])


@over([*AVERAGES, *(method for method in methods if has(method, "normalize") and method.name not in RANDOM)])
def test_an_average_of_equal_parents_is_that_parent(method: Method) -> None:
    """To rounding of base + (parent - base)."""
    base, parent, n = some((6, 6), 1), some((6, 6), 2), count(method)
    chosen = {"normalize": True} if has(method, "normalize") else {}
    values = [values_of(method, weight=0.7, density=1.0)] * n
    fixed = {"gamma": 0.0} if has(method, "gamma") else {}
    for each in with_and_without_base(method, base):
        merged = merge(method, each, [parent] * n, values, **chosen, **fixed)
        assert torch.allclose(merged, parent, rtol=0, atol=1e-6)


@over([method for method in methods if method.name not in NOT_SCALED])
@pytest.mark.parametrize("exponent", [-6, 5])
def test_tensors_of_another_unit_merge_to_the_same_in_that_unit(method: Method, exponent: int) -> None:
    """To the bit, for units that are powers of two. NearSwap's step is in the unit of the tensors."""
    unit = 2.0**exponent
    parents = some_parents(method)
    for base in with_and_without_base(method, some((6, 6), 9)):
        scaled = None if base is None else base * unit
        t = {"t": 0.5} if has(method, "t") else {}
        step = {"t": 0.5 * unit} if method.name == "nearswap" else t
        merged = merge(method, base, parents, [values_of(method)] * len(parents), **t)
        other = merge(method, scaled, [p * unit for p in parents], [values_of(method)] * len(parents), **step)
        assert torch.equal(merged * unit, other)


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


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("name", RANDOM)
def test_random_methods_are_right_in_expectation(name: str, rescale: bool) -> None:
    """One parent: the mean over S = 400 seeds of base + m tau / p is the parent, within 5 x |tau| sqrt((1-p)/(p S)); of base +
    m tau it is base + p tau, within 5 x |tau| sqrt(p (1-p) / S), where DARE's p is known.

    Fixed seeds; 5 standard deviations would fail one in 30,000 times for 50 elements. DELLA's p is 0.35 to 0.65.
    """
    base, parent, method = some((50,), 1), some((50,), 2), methods.get(name)
    given = method.default_settings() | {"rescale": rescale}
    drawn = [method.merge(base, [parent], [{"weight": 1.0, "density": 0.5}], given, Draws(s, "t")) for s in range(400)]
    away = (torch.stack(drawn).mean(dim=0) - base) / (parent - base)
    spread = float(given.get("epsilon", 0.0))
    p = 0.5 - spread
    if rescale:
        assert bool(((away - 1).abs() <= 5 * ((1 - p) / (p * 400)) ** 0.5 + 1e-5).all())
    else:
        assert bool(((away - 0.5).abs() <= spread + 5 * (0.25 / 400) ** 0.5 + 1e-5).all())


def test_dare_ties_draws_other_masks_for_other_tensors_and_parents() -> None:
    base, parent = torch.zeros(64), torch.ones(64)
    method, given = methods.get("dare_ties"), methods.get("dare_ties").default_settings()
    half = {"weight": 1.0, "density": 0.5}
    one = method.merge(base, [parent], [half], given, Draws(0, "a"))
    other = method.merge(base, [parent], [half], given, Draws(0, "b"))
    both = method.merge(base, [parent, parent], [half, half], given, Draws(0, "a"))
    assert not torch.equal(one, other) and set(both.tolist()) == {0.0, 2.0, 4.0}
