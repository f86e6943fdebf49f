"""mergekit's rules in one pass: the bits of `merging.peer_rules`, and its random numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from merging.errors import TensorError
from merging.kernels import cpu
from merging.kernels.peer import FAMILY, PeerMerge, TorchWords, as_pass
from merging.kernels.spectra import Spectrum
from merging.methods import methods
from merging.peer_rules import PeerDraws, rules
from tests.merging.models import bits

BF16, F16, F32 = torch.bfloat16, torch.float16, torch.float32
OF_EACH = pytest.mark.parametrize("name", FAMILY)


@pytest.fixture(params=[1, 2], autouse=True)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def some(shape: tuple[int, ...], seed: int, scale: float) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale


def parents_of(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Tensor | None, list[Tensor]]:
    base = some(shape, 1, 0.3).to(dtype)
    parents = [(base.float() + some(shape, seed, 0.1)).to(dtype) for seed in (2, 3, 4)]
    return base if methods.get(name).needs_base else None, parents


def one_pass(
    name: str, base: Tensor | None, parents: list[Tensor], dtype: torch.dtype, draws: PeerDraws, **changed: float | bool
) -> PeerMerge:
    method = methods.get(name)
    settings = method.default_settings()
    settings |= {key: value for key, value in changed.items() if key in settings}
    rows = zip((0.3, -0.5, 0.9), (0.2, 0.5, 1.0 if changed.get("normalize") else 0.7), strict=True)
    names = [parameter.name for parameter in method.per_parent()]
    values = [dict(zip(names, row, strict=False)) for row in rows]
    return PeerMerge(
        name, base, parents, values, settings, dtype, draws, lambda parent, base: Spectrum(base, parents[parent])
    )


@OF_EACH
@pytest.mark.parametrize(("dtype", "result"), [(BF16, BF16), (F16, F16), (F32, BF16)], ids=str)
@pytest.mark.parametrize("normalize", [False, True])
def test_a_pass_gives_the_bits_of_its_rule(name: str, dtype: torch.dtype, result: torch.dtype, normalize: bool) -> None:
    """Sums over whole tensors are torch's on either side, so these bits agree as well."""
    for shape in [(7,), (33, 5), (64, 2049), (3, 400_000)]:
        base, parents = parents_of(name, shape, dtype)
        changed = {"normalize": normalize, "rescale": shape != (33, 5), "lambda": 0.7 if normalize else 1.0}
        draws, found = (PeerDraws(5), PeerDraws(5)), torch.empty(shape, dtype=result)
        fused = one_pass(name, base, parents, dtype, draws[0], **changed)
        expected = rules[name](base, parents, fused.values, fused.settings, draws[1]).to(result)
        assert fused.is_possible and fused.into(found, result)
        assert torch.equal(bits(found), bits(expected))
        assert torch.equal(draws[0].generator.get_state(), draws[1].generator.get_state())


def test_words_are_those_of_torch_s_generator_and_it_goes_on_after_them() -> None:
    ours, theirs = PeerDraws(3), PeerDraws(3)
    for n in (1, 622, 623, 624, 625, 2000, 5):
        words, mask = TorchWords(ours.generator), np.empty(n, np.uint8)
        words.draw(None, torch.tensor([0.3]), mask)
        words.give_back()
        assert mask.tolist() == theirs.keep(torch.full((n,), 0.3)).tolist()
        assert ours.places(10**6, 3).tolist() == theirs.places(10**6, 3).tolist()


def test_models_stored_otherwise_than_they_are_merged_are_left_to_the_rule() -> None:
    base, parents = parents_of("ties", (8,), F32)
    assert not one_pass("ties", base, parents, BF16, PeerDraws(0)).is_possible
    assert one_pass("ties", base, parents, F32, PeerDraws(0)).is_possible
    base, parents = parents_of("ties", (8,), BF16)
    assert one_pass("ties", base, parents, F32, PeerDraws(0)).is_possible


@OF_EACH
def test_an_empty_tensor_merges_to_itself(name: str) -> None:
    base, parents = parents_of(name, (0, 4), BF16)
    assert one_pass(name, base, parents, BF16, PeerDraws(0)).into(torch.empty(0, 4, dtype=BF16), BF16)


def test_what_mergekit_refuses_is_refused() -> None:
    base, parents = parents_of("della", (4, 1), BF16)
    with pytest.raises(TensorError, match="cannot rank a row of one element"):
        one_pass("della", base, parents, BF16, PeerDraws(0)).into(torch.empty(4, 1, dtype=BF16), BF16)


@pytest.mark.parametrize("dtype", [BF16, F32])
@pytest.mark.parametrize("scale", [0.001, 1.0])
@pytest.mark.parametrize("shape", [(30, 70), (3, 400_000), (1,)])
def test_slerp_is_a_sum_by_shares(dtype: torch.dtype, scale: float, shape: tuple[int, ...]) -> None:
    """Of nearly parallel tensors and of others."""
    one = some(shape, 1, 0.3)
    ends = [one.to(dtype), (one + some(shape, 2, scale)).to(dtype)]
    task, found = as_pass("slerp", ends, [{}, {}], {"t": 0.3}), torch.empty(shape, dtype=dtype)
    assert task is not None and cpu.merge(found, None, ends, dtype, task)
    assert torch.equal(bits(found), bits(rules["slerp"](None, ends, [{}, {}], {"t": 0.3}, PeerDraws(0))))


def test_a_parent_as_it_is_has_the_bits_of_the_rule() -> None:
    parent = some((100,), 1, 0.3).bfloat16()
    task, found = as_pass("passthrough", [parent], [{"scale": 0.7}], {}), torch.empty_like(parent)
    assert task is not None and cpu.merge(found, None, [parent], BF16, task)
    assert torch.equal(bits(found), bits(rules["passthrough"](None, [parent], [{"scale": 0.7}], {}, PeerDraws(0))))
