"""Kernels give the bits of the plain arithmetic, for every method, dtype, size and number of threads."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merging.draws import BLOCK, Draws
from merging.kernels import cpu, spectra
from merging.kernels.compiling import compiled
from merging.kernels.keepers import TensorKeepers
from merging.kernels.loops import is_folded_at_most
from merging.kernels.passes import BLOCK_BITS, Pass
from merging.kernels.spectra import Spectra, Spectrum
from merging.masks import magnitude_thresholds
from merging.methods import methods
from merging.methods.method import Method
from merging.plans import TensorOf
from merging.recipes import Parent
from tests.merging.models import bits
from tests.merging.passes import DENSITIES, WEIGHTS, both, elements, merge_on_cpu, some

BF16, F16, F32 = torch.bfloat16, torch.float16, torch.float32
FUSED = [method for method in methods if method.as_pass is not None]
OF_EACH = pytest.mark.parametrize("method", FUSED, ids=lambda method: method.name)
# base, parents, result, target
DTYPES = [
    (BF16, BF16, BF16, BF16),
    pytest.param((F32, F32, F32, F32), marks=pytest.mark.slow),
    pytest.param((F32, BF16, F16, F32), marks=pytest.mark.slow),
    pytest.param((F16, F16, F16, F16), marks=pytest.mark.slow),
]
"""Each takes a machine that has never run them a quarter of a minute to compile."""
SHAPES = [(1,), (7,), (33, 5), (3, 1), (), (0,), (0, 4), (64, 2049)]


@pytest.fixture(params=[1, 2], autouse=True)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def check(
    method: Method,
    base: torch.Tensor,
    parents: list[torch.Tensor],
    result: torch.dtype,
    target: torch.dtype,
    weights: tuple[float, ...] = WEIGHTS,
    densities: tuple[float, ...] = DENSITIES,
    **changed: float | bool,
) -> None:
    """The kernel's bits are those of `merge` with one rounding."""
    made = both(
        method, base, parents, result, weights, densities, changed, lambda _parent, _base: Spectrum(base.numel())
    )
    found = torch.empty(base.shape, dtype=target)
    assert merge_on_cpu(found, made.base, parents, result, made.task)
    assert torch.equal(bits(found), bits(made.expected.to(target)))


@OF_EACH
@pytest.mark.parametrize("dtypes", DTYPES, ids=str)
@pytest.mark.parametrize("normalize", [False, True])
def test_a_pass_gives_the_bits_of_its_method(method: Method, dtypes: tuple[torch.dtype, ...], normalize: bool) -> None:
    base_dtype, parent_dtype, result, target = dtypes
    for shape in SHAPES:
        base = some(shape, 1, base_dtype)
        parents = [(base.float() + some(shape, seed, F32, 0.1)).to(parent_dtype) for seed in (2, 3, 4)]
        check(method, base, parents[: method.max_parents], result, target, normalize=normalize, rescale=normalize)


@OF_EACH
@given(
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple),
    seed=st.integers(0, 10**6),
    weights=st.tuples(*[st.floats(-2, 2, width=32)] * 3),
    densities=st.tuples(*[st.floats(0.01, 1)] * 3),
    scale=st.sampled_from([1e-30, 1e-6, 0.3]),
)
@settings(max_examples=25, deadline=None)
def test_a_pass_gives_them_for_any_numbers(
    method: Method,
    shape: tuple[int, ...],
    seed: int,
    weights: tuple[float, ...],
    densities: tuple[float, ...],
    scale: float,
) -> None:
    """Tiny scales reach subnormal numbers; rounded task vectors draw often, and are zero often."""
    base = some(shape, seed, BF16, scale)
    parents = [(base + some(shape, seed + i, BF16, scale)).bfloat16() for i in (1, 2, 3)][: method.max_parents]
    check(method, base, parents, BF16, BF16, weights, densities, normalize=True)


@pytest.mark.parametrize("name", ["dare_ties", "della", "ties"])
def test_blocks_of_random_words_and_spans_join_without_a_seam(name: str) -> None:
    base = some((3, BLOCK // 2 - 1), 1, BF16)
    check(methods.get(name), base, [(base + some(base.shape, 2, BF16)).bfloat16() for _ in range(3)], BF16, BF16)
    assert 1 << BLOCK_BITS == BLOCK


def test_ranks_that_were_kept_give_the_bits_of_those_that_are_sorted_anew() -> None:
    base = some((640, 2049), 1, BF16)
    parents = [(base.float() + some(base.shape, seed, F32, 0.1)).bfloat16() for seed in (2, 3, 4)]
    made = both(
        methods.get("della"),
        base,
        parents,
        BF16,
        WEIGHTS,
        DENSITIES,
        {},
        lambda _parent, _base: Spectrum(base.numel()),
    )
    ranks = [cpu.ranks_of(elements(base), elements(parent), 2049) for parent in parents]
    rules = [replace(rule, ranks=of) for rule, of in zip(made.task.keep, ranks, strict=True)]  # type: ignore[arg-type]
    found = torch.empty(base.shape, dtype=BF16)
    assert merge_on_cpu(found, base, parents, BF16, replace(made.task, keep=tuple(rules)))
    assert torch.equal(bits(found), bits(made.expected))


def test_ranks_are_kept_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, base = Spectra(max_bytes=2 * 5000), elements(some((50, 100), 1, BF16))
    of = [TensorOf(Parent(name, f"/{name}", ""), "t") for name in ("base", "one", "two")]
    first = kept.ranks_of(of[0], of[1], base, elements(some((50, 100), 2, BF16)))
    assert kept.ranks_of(of[0], of[2], base, base) is None
    monkeypatch.setattr(spectra, "ranks_of", None)
    assert first is not None and kept.ranks_of(of[0], of[1], base, base) is first
    kept.forget(of[1].parent)
    with pytest.raises(TypeError):
        kept.ranks_of(of[0], of[2], base, base)


@pytest.mark.parametrize(
    ("density", "epsilon"), [(0.5, 0.1), (0.1, 0.3), (0.9, 0.3), (0.004, 0.001), (1 - 2**-20, 0.1)]
)
def test_probabilities_next_to_none_and_to_all_draw_as_limits_say(density: float, epsilon: float) -> None:
    """In between, limits are whole numbers of 32 bits, and the kernel takes them as they are."""
    base = some((3, 5000), 1, BF16)
    parents = [(base.float() + some(base.shape, seed, F32, 0.1)).bfloat16() for seed in (2, 3, 4)]
    check(methods.get("della"), base, parents, BF16, BF16, densities=(density,) * 3, epsilon=epsilon)


@pytest.mark.parametrize("last", [0, 1, 2**15, 2**16 - 1, 2**16, 2**31 - 1, 2**31, 2**32 - 2, 0x12345678])
def test_a_word_wins_when_it_is_low_enough_once_it_is_folded(last: int) -> None:
    """Words next to the last that wins, in either half."""
    near = {(last + step + (half << 16)) % 2**32 for step in range(-3, 4) for half in (-1, 0, 1)}
    words = np.array(sorted(near), np.uint32)
    bound = np.uint32(last).view(np.int32)
    found = [compare(word, bound) for word in words ^ (words >> 16)]  # folded twice is not folded
    assert found == (words.view(np.int32) <= bound).tolist()


@compiled
def compare(unfolded: np.uint32, last: np.int32) -> bool:
    return is_folded_at_most(unfolded, last)


@pytest.mark.parametrize("n", [0, 1, 2**17, 2**18 - 1, 2**18, 3 * 2**20 + 17, 11_534_336])
def test_spans_taper_and_leave_nothing_out(n: int, threads: int) -> None:
    spans = cpu.tapering_spans(n)
    assert [start for start, _ in spans] == [0, *(stop for _, stop in spans)][: len(spans)]
    assert sum(stop - start for start, stop in spans) == n
    assert all(stop - start <= cpu.SPAN + cpu.LEAST_SPAN for start, stop in spans)
    assert threads == 1 or n < 2 * cpu.LEAST_SPAN or spans[-1][1] - spans[-1][0] < 2 * cpu.LEAST_SPAN


def test_parents_of_mixed_dtypes_merge() -> None:
    base = some((50,), 1, F16)
    check(methods.get("ties"), base, [some((50,), 2, BF16), some((50,), 3, F32), some((50,), 4, F16)], BF16, BF16)


@pytest.mark.parametrize("dtype", [BF16, F16, F32])
@pytest.mark.parametrize("where", [0, 999_999, 1_234_567])
def test_a_number_that_is_not_finite_is_noticed_wherever_it_is(dtype: torch.dtype, where: int) -> None:
    parent = some((1_300_001,), 1, F32)
    target = torch.empty(parent.shape, dtype=dtype)
    task = Pass((2.0,))
    assert merge_on_cpu(target, None, [parent], dtype, task)
    for bad in (math.nan, math.inf, -math.inf, torch.finfo(dtype).max):
        parent[where] = bad
        assert not merge_on_cpu(target, None, [parent], dtype, task)


@pytest.mark.parametrize("dtype", [BF16, F16])
def test_every_word_of_16_bits_keeps_its_value_and_rounds_as_torch_rounds(dtype: torch.dtype) -> None:
    stored = torch.arange(2**16).to(torch.int32).to(torch.uint16).view(dtype)
    stored = stored[torch.isfinite(stored.float())]
    as_float = torch.empty(stored.shape)
    merge_on_cpu(as_float, None, [stored], F32, Pass((1.0,)))
    assert torch.equal(bits(as_float), bits(stored.float()))
    for moved in (as_float * (1 + 2**-9), as_float * (1 - 2**-12), as_float * (1 + 2**-8)):
        rounded = torch.empty(stored.shape, dtype=dtype)
        merge_on_cpu(rounded, None, [moved], dtype, Pass((1.0,)))
        assert torch.equal(bits(rounded), bits(moved.to(dtype)))


@given(
    n=st.integers(1, 60),
    density=st.floats(0.01, 1),
    gamma=st.floats(0, 0.3),
    seed=st.integers(0, 10**6),
    steps=st.sampled_from([1e-30, 2.0**-9, 1.0]),
    dtype=st.sampled_from([BF16, F32]),
)
@settings(deadline=None)
def test_thresholds_are_those_of_a_sort(
    n: int, density: float, gamma: float, seed: int, steps: float, dtype: torch.dtype
) -> None:
    base = (some((n,), seed, F32, 3).round() * steps).to(dtype)
    parent = (some((n,), seed + 1, F32, 3).round() * steps).to(dtype)
    expected = magnitude_thresholds(parent.float() - base.float(), density, gamma)
    below, above = elements(base), elements(parent)
    kept = Spectra().of(TensorOf(Parent("a", "/a", ""), "t"), TensorOf(Parent("b", "/b", ""), "t"), below, above)
    for spectrum in (Spectrum(n), kept):
        keepers = TensorKeepers(below, [above], Draws(0, "t"), lambda _parent, _base, s=spectrum: s)  # type: ignore[misc]
        window = keepers.middle(0, density, gamma)
        assert (window.low, window.high) == expected  # type: ignore[union-attr]


@pytest.mark.parametrize("dtype", [BF16, F16, F32])
def test_a_spectrum_tells_every_place_of_a_large_tensor(dtype: torch.dtype) -> None:
    """Of float32 tensors not all different magnitudes are kept; they are looked up when they are asked for."""
    base = some((1_500_000,), 1, dtype, 0.02)
    parent = (base.float() + some(base.shape, 2, F32, 1e-3)).to(dtype)
    magnitudes = (parent.float() - base.float()).abs().sort(descending=True).values
    spectrum, below, above = Spectrum(base.numel()), elements(base), elements(parent)
    for _ in range(2):
        for place in (1, 2, 700_000, 700_001, 1_100_000, 1_499_999, 1_500_000):
            assert spectrum.nth_largest(place, below, above) == magnitudes[place - 1]
        spectrum.look_into_all(below, above)


def test_what_was_counted_is_not_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, one, two = Spectra(), Parent("one", "/one", ""), Parent("two", "/two", "")
    base, parent = elements(some((5000,), 1, BF16)), elements(some((5000,), 2, BF16))
    first = kept.of(TensorOf(one, "t"), TensorOf(two, "t"), base, parent)
    for loop in ("count_different", "count_magnitudes", "gather_words"):
        monkeypatch.setattr(spectra, loop, None)
    again = kept.of(TensorOf(one, "t"), TensorOf(two, "t"), base, parent)
    assert again is first and again.nth_largest(100, base, parent) > 0
    kept.forget(two)
    with pytest.raises(TypeError):
        kept.of(TensorOf(one, "t"), TensorOf(two, "t"), base, parent)
