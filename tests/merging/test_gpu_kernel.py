"""The GPU's kernel gives the bits of the plain arithmetic on a CPU: on a card where there is one, else in triton's interpreter.

Triton comes with torch for CUDA. Elsewhere `pip install --target FOLDER triton` and PYTHONPATH=FOLDER TRITON_INTERPRET=1
run these tests without a card. The interpreter does not forbid fused multiply-adds because it has none; that the compiler
makes none either is seen only on a card.
"""

from __future__ import annotations

import math
import os
from importlib.util import find_spec

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merging import assembly
from merging.elements import as_tensor
from merging.kernels import gpu
from merging.kernels.gpu_spectra import GpuSpectrum
from merging.kernels.passes import Lottery, Pass, RankedLottery
from merging.masks import magnitude_thresholds
from merging.methods import methods
from merging.methods.method import Method
from merging.plans import TensorJob, TensorOf
from merging.recipes import WHOLE_MODEL, Parent, Recipe
from tests.merging.models import bits
from tests.merging.passes import DENSITIES, WEIGHTS, both, name_of, some

BF16, F16, F32 = torch.bfloat16, torch.float16, torch.float32
IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
CARD = torch.device("cuda" if torch.cuda.is_available() and not IS_INTERPRETED else "cpu")
NEEDS_TRITON = pytest.mark.skipif(
    find_spec("triton") is None or (CARD.type == "cpu" and not IS_INTERPRETED),
    reason="needs triton, and a GPU or TRITON_INTERPRET=1",
)
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy, in the interpreter, of what is not finite
FUSED = [m for m in methods if m.as_pass is not None and not m.name.startswith("della")]
# base, parents, result, target
DTYPES = [(BF16, BF16, BF16, BF16), (F16, F16, F16, F16), (F32, F32, F32, F32), (F32, BF16, F16, F32)]
SHAPES = [(1,), (7,), (33, 5), (), (0,), (3, gpu.SIZE), (2, 1999)]


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
        method, base, parents, result, weights, densities, changed, lambda *_: GpuSpectrum(base.numel()), as_tensor
    )
    found = torch.empty(base.shape, dtype=target, device=CARD)
    there = [parent.to(CARD) for parent in parents]
    assert gpu.knows(made.task)
    assert gpu.merge(found, None if made.base is None else made.base.to(CARD), there, name_of(result), made.task)
    assert torch.equal(bits(found.cpu()), bits(made.expected.to(target)))


@NEEDS_TRITON
@pytest.mark.parametrize("method", FUSED, ids=lambda method: method.name)
@pytest.mark.parametrize("dtypes", DTYPES, ids=str)
@pytest.mark.parametrize("normalize", [False, True])
def test_a_tile_gives_the_bits_of_its_method(method: Method, dtypes: tuple[torch.dtype, ...], normalize: bool) -> None:
    base_dtype, parent_dtype, result, target = dtypes
    for shape in SHAPES:
        base = some(shape, 1, base_dtype)
        parents = [(base.float() + some(shape, seed, F32, 0.1)).to(parent_dtype) for seed in (2, 3, 4)]
        check(method, base, parents[: method.max_parents], result, target, normalize=normalize, rescale=normalize)


@NEEDS_TRITON
@pytest.mark.parametrize("method", FUSED, ids=lambda method: method.name)
@given(
    n=st.integers(1, 400),
    seed=st.integers(0, 10**6),
    weights=st.tuples(*[st.floats(-2, 2, width=32).map(lambda weight: weight + 0.0)] * 3),
    densities=st.tuples(*[st.floats(0.01, 1)] * 3),
    scale=st.sampled_from([1e-30, 1e-6, 0.3]),
)
@settings(max_examples=10, deadline=None)
def test_a_tile_gives_them_for_any_numbers(
    method: Method, n: int, seed: int, weights: tuple[float, ...], densities: tuple[float, ...], scale: float
) -> None:
    """Tiny scales reach subnormal numbers; rounded task vectors draw often, and are zero often.

    No weight is -0.0, whose sign the interpreter loses.
    """
    base = some((n,), seed, BF16, scale)
    parents = [(base + some((n,), seed + i, BF16, scale)).bfloat16() for i in (1, 2, 3)][: method.max_parents]
    check(method, base, parents, BF16, BF16, weights, densities, normalize=True)


@NEEDS_TRITON
def test_blocks_of_random_words_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 4096: the interpreter needs a minute for those of 2^22."""
    monkeypatch.setattr("merging.draws.BLOCK", 1 << 12)
    monkeypatch.setattr("merging.kernels.keepers.BLOCK_BITS", 12)
    monkeypatch.setattr(gpu, "BLOCK_BITS", 12)
    base = some((3 * 4096 + 1999,), 1, BF16)
    check(methods.get("dare_ties"), base, [(base + some(base.shape, s, BF16)).bfloat16() for s in (2, 3)], BF16, BF16)


@NEEDS_TRITON
@pytest.mark.parametrize("n", [1, 2, 4, 6])
def test_parents_may_be_many_and_of_mixed_dtypes(n: int) -> None:
    base = some((50,), 1, F16)
    parents = [some((50,), 2 + i, (BF16, F32, F16)[i % 3]) for i in range(n)]
    check(methods.get("ties"), base, parents, BF16, BF16, (0.3, -0.5, 0.9) * 2, (0.2, 0.5, 1.0) * 2, normalize=True)


@NEEDS_TRITON
@pytest.mark.parametrize("dtype", [BF16, F16, F32])
@pytest.mark.parametrize("where", [0, 2999, 4999])
def test_a_number_that_is_not_finite_is_noticed_wherever_it_is(dtype: torch.dtype, where: int) -> None:
    parent, target = some((5000,), 1, F32), torch.empty(5000, dtype=dtype, device=CARD)
    assert gpu.merge(target, None, [parent.to(CARD)], name_of(dtype), Pass((2.0,)))
    for bad in (math.nan, math.inf, -math.inf, torch.finfo(dtype).max):
        parent[where] = bad
        assert not gpu.merge(target, None, [parent.to(CARD)], name_of(dtype), Pass((2.0,)))


@NEEDS_TRITON
@pytest.mark.parametrize("dtype", [BF16, F16])
def test_every_word_of_16_bits_keeps_its_value_and_rounds_as_torch_rounds(dtype: torch.dtype) -> None:
    stored = torch.arange(2**16).to(torch.int32).to(torch.uint16).view(dtype)
    stored = stored[torch.isfinite(stored.float())]
    as_float = torch.empty(stored.shape, device=CARD)
    gpu.merge(as_float, None, [stored.to(CARD)], "float32", Pass((1.0,)))
    assert torch.equal(bits(as_float.cpu()), bits(stored.float()))
    for factor in (1 + 2**-9, 1 - 2**-12, 1 + 2**-8):
        rounded, moved = torch.empty(stored.shape, dtype=dtype, device=CARD), as_float * factor
        gpu.merge(rounded, None, [moved], name_of(dtype), Pass((1.0,)))
        assert torch.equal(bits(rounded.cpu()), bits(moved.cpu().to(dtype)))


@NEEDS_TRITON
@pytest.mark.parametrize("name", ["ties", "dare_linear", "linear", "della"])
def test_models_are_merged_and_refused_as_on_a_cpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, jobs, tensors = _model(name)
    expected = {name: as_tensor(made) for name, made in assembly.assemble(recipe, jobs, _Held(tensors))}
    if CARD.type == "cpu":
        monkeypatch.setattr(assembly, "as_elements", lambda tensor: tensor)
        monkeypatch.setattr(gpu, "takes", lambda _tensors: True)
    there = _Held({key: tensor.to(CARD) for key, tensor in tensors.items()})
    targets = {job.name: torch.empty(40, 3, dtype=BF16, device=CARD) for job in jobs}
    place = assembly.Place(targets)
    found = {name: as_tensor(made) for name, made in assembly.assemble(recipe, jobs, there, place)}
    assert all(found[name] is targets[name] and torch.equal(found[name].cpu(), expected[name]) for name in expected)
    there.tensors["two", "t1"][:, 1] = math.inf
    merging = assembly.assemble(recipe, jobs, there)
    assert [next(merging)[0] for _ in jobs] == ["t0", "t1", "t2"]
    with pytest.raises(assembly.TensorError, match="two is damaged: 40 numbers of its t1"):
        next(merging)


class _Held:
    """Tensors by model and name."""

    def __init__(self, tensors: dict[tuple[str, str], torch.Tensor]) -> None:
        self.tensors = tensors

    def tensor(self, parent: Parent, name: str) -> torch.Tensor:
        return self.tensors[parent.name, name]


def _model(name: str) -> tuple[Recipe, list[TensorJob], dict[tuple[str, str], torch.Tensor]]:
    method, base = methods.get(name), Parent("base", "/base", "0")
    parents = tuple(Parent(name, f"/{name}", name) for name in ("one", "two"))
    values = tuple({p.name: 0.5 for p in method.per_parent()} for _ in parents)
    below = base if method.needs_base else None
    recipe = Recipe(name, below, parents, (WHOLE_MODEL,), (values,), method.default_settings(), 1, "bfloat16")
    jobs = [
        TensorJob(t, 0, tuple(TensorOf(p, t) for p in parents), TensorOf(base, t) if below else None)
        for t in ("t0", "t1", "t2")
    ]
    models = [model.name for model in (base, *parents)]
    return recipe, jobs, {(m, j.name): some((40, 3), i, BF16) for i, m in enumerate(models) for j in jobs}


def test_only_tensors_on_one_gpu_are_taken_and_no_ranks() -> None:
    assert not gpu.takes([torch.zeros(3)])
    assert gpu.knows(Pass((1.0,), (Lottery(5, 0.5, ((1, 2),)),)))
    assert not gpu.knows(Pass((1.0,), (RankedLottery(0.5, 0.1, True, 3, ((1, 2),)),)))


@given(
    n=st.integers(1, 60),
    place=st.floats(0, 1),
    seed=st.integers(0, 10**6),
    steps=st.sampled_from([1e-30, 2.0**-9, 1.0]),
    dtype=st.sampled_from([BF16, F32]),
)
@settings(deadline=None)
def test_thresholds_are_those_of_a_sort(n: int, place: float, seed: int, steps: float, dtype: torch.dtype) -> None:
    base = (some((n,), seed, F32, 3).round() * steps).to(dtype).to(CARD)
    parent = (some((n,), seed + 1, F32, 3).round() * steps).to(dtype).to(CARD)
    nth = max(1, round(place * n))
    expected = (parent.float() - base.float()).abs().sort(descending=True).values[nth - 1]
    spectrum = GpuSpectrum(n)
    for _ in range(2):
        assert spectrum.nth_largest(nth, base, parent) == expected
        spectrum.look_into_all(base, parent)


@pytest.mark.parametrize("dtype", [BF16, F16, F32])
def test_a_spectrum_tells_every_place_of_a_tensor_in_pieces(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of float32 tensors not all different magnitudes are kept."""
    monkeypatch.setattr("merging.kernels.gpu_spectra.PIECE", 100_000)
    base = some((250_001,), 1, dtype, 0.02)
    parent = (base.float() + some(base.shape, 2, F32, 1e-3)).to(dtype)
    base, parent, spectrum = base.to(CARD), parent.to(CARD), GpuSpectrum(base.numel())
    tau = parent.float() - base.float()
    for _ in range(2):
        for density in (1e-5, 0.2, 0.5, 0.99):
            low, _ = magnitude_thresholds(tau, density)
            assert spectrum.nth_largest(max(1, round(density * len(tau))), base, parent) == low
        spectrum.look_into_all(base, parent)
