"""mergekit's rules in one pass: the bits of `merging.peer_rules`, and its random numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from merging.errors import TensorError
from merging.kernels import peer
from merging.kernels.loops import draw_mask, sum_as_torch
from merging.kernels.peer import FAMILY, ORDER_IS_KNOWN, PAIRED, PeerMerge, as_pass, reads
from merging.kernels.spectra import Spectrum
from merging.methods import methods
from merging.peer_draws import PeerDraws, shares_by_rank
from merging.peer_rules import rules
from tests.merging.models import bits
from tests.merging.passes import elements, merge_on_cpu, name_of

BF16, F16, F32 = torch.bfloat16, torch.float16, torch.float32
SLOWLY = [pytest.param(*dtypes, marks=pytest.mark.slow) for dtypes in ((F16, F16), (F32, BF16))]
"""Each takes a machine that has never run them some seconds to compile."""
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
        name,
        None if base is None else elements(base),
        [elements(parent) for parent in parents],
        values,
        settings,
        name_of(dtype),
        draws,
        lambda _parent, base: Spectrum(len(base.words)),
    )


@OF_EACH
@pytest.mark.parametrize(("dtype", "result"), [(BF16, BF16), *SLOWLY], ids=str)
@pytest.mark.parametrize("normalize", [False, True])
def test_a_pass_gives_the_bits_of_its_rule(name: str, dtype: torch.dtype, result: torch.dtype, normalize: bool) -> None:
    """Sums over whole tensors are torch's on either side, so these bits agree as well."""
    for shape in [(7,), (33, 5), (64, 2049), (3, 400_000)]:
        base, parents = parents_of(name, shape, dtype)
        changed = {"normalize": normalize, "rescale": shape != (33, 5), "lambda": 0.7 if normalize else 1.0}
        draws, found = (PeerDraws(5), PeerDraws(5)), torch.empty(shape, dtype=result)
        fused = one_pass(name, base, parents, dtype, draws[0], **changed)
        expected = rules[name](base, parents, fused.values, fused.settings, draws[1]).to(result)
        assert fused.is_possible and fused.into(elements(found), name_of(result))
        assert torch.equal(bits(found), bits(expected))
        assert draws[0].places(10**6, 700).tolist() == draws[1].places(10**6, 700).tolist()


@pytest.mark.parametrize("seed", [0, 3, 2**40 + 7])
def test_words_are_those_of_torch_s_generator_and_it_goes_on_after_them(seed: int) -> None:
    ours, theirs = PeerDraws(seed), torch.Generator().manual_seed(seed)
    for n in (1, 622, 623, 624, 625, 2000, 5):
        mask = np.empty(n, np.uint8)
        ours.place = draw_mask(ours.words, ours.place, np.ceil(np.float32([0.3]) * 2**24).astype(np.uint32), mask)
        assert mask.tolist() == torch.bernoulli(torch.full((n,), 0.3), generator=theirs).tolist()
        assert ours.places(10**6, 3).tolist() == torch.randint(10**6, (3,), generator=theirs).tolist()


@pytest.mark.parametrize("dtype", [BF16, F32])
@given(
    n=st.integers(2, 5000),
    density=st.floats(0.21, 0.79),
    epsilon=st.floats(0, 0.2),
)
@settings(deadline=None)
def test_shares_round_at_every_step_as_torch_rounds(n: int, density: float, epsilon: float, dtype: torch.dtype) -> None:
    ranks = torch.arange(n).to(dtype) + 1
    share = ((ranks - ranks.min()) / (ranks.max() - ranks.min())).clamp(0, 1)
    expected = (density - epsilon) + share * 2 * epsilon
    assert shares_by_rank(n, density, epsilon, name_of(dtype)).tolist() == expected.tolist()


@pytest.mark.parametrize("dtype", [BF16, F32])
@pytest.mark.skipif(not ORDER_IS_KNOWN, reason="what is not known is asked of torch")
def test_numbers_are_added_in_torch_s_order(dtype: torch.dtype) -> None:
    """By one thread. Of both signs and many sizes, so that no other order gives the same sum."""
    torch.set_num_threads(1)
    for n in (*range(70), 1000, 32_767, 40_001, 1_000_003):
        values = (some((n,), n, 1.0) * 10 ** some((n,), n + 1, 2.0)).to(dtype)
        found = sum_as_torch(values.float().numpy(), PAIRED[name_of(dtype)])
        assert torch.equal(torch.tensor(found).to(dtype), values.sum())


@OF_EACH
def test_where_the_order_is_not_known_torch_adds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "ORDER_IS_KNOWN", False)
    base, parents = parents_of(name, (33, 2000), BF16)
    fused, found = one_pass(name, base, parents, BF16, PeerDraws(5)), torch.empty(33, 2000, dtype=BF16)
    expected = rules[name](base, parents, fused.values, fused.settings, PeerDraws(5))
    assert fused.into(elements(found), "bfloat16") and torch.equal(bits(found), bits(expected))


def test_models_stored_otherwise_than_they_are_merged_are_left_to_the_rule() -> None:
    wide, narrow = torch.zeros(8), torch.zeros(8, dtype=BF16)
    assert not reads([elements(wide), elements(narrow)], "bfloat16") and not reads([elements(wide)], "float16")
    assert reads([elements(wide), elements(narrow)], "float32") and reads([elements(narrow)], "bfloat16")


@OF_EACH
def test_an_empty_tensor_merges_to_itself(name: str) -> None:
    base, parents = parents_of(name, (0, 4), BF16)
    assert one_pass(name, base, parents, BF16, PeerDraws(0)).into(elements(torch.empty(0, 4, dtype=BF16)), "bfloat16")


def test_what_mergekit_refuses_is_refused() -> None:
    base, parents = parents_of("della", (4, 1), BF16)
    with pytest.raises(TensorError, match="cannot rank a row of one element"):
        one_pass("della", base, parents, BF16, PeerDraws(0)).into(elements(torch.empty(4, 1, dtype=BF16)), "bfloat16")


@pytest.mark.parametrize("dtype", [BF16, F32])
@pytest.mark.parametrize("scale", [0.001, 1.0])
@pytest.mark.parametrize("shape", [(30, 70), (3, 400_000), (1,)])
def test_slerp_is_a_sum_by_shares(dtype: torch.dtype, scale: float, shape: tuple[int, ...]) -> None:
    """Of nearly parallel tensors and of others."""
    one = some(shape, 1, 0.3)
    ends = [one.to(dtype), (one + some(shape, 2, scale)).to(dtype)]
    task = as_pass("slerp", [elements(end) for end in ends], [{}, {}], {"t": 0.3})
    found = torch.empty(shape, dtype=dtype)
    assert task is not None and merge_on_cpu(found, None, ends, dtype, task)
    assert torch.equal(bits(found), bits(rules["slerp"](None, ends, [{}, {}], {"t": 0.3}, PeerDraws(0))))


def test_a_parent_as_it_is_has_the_bits_of_the_rule() -> None:
    parent = some((100,), 1, 0.3).bfloat16()
    task, found = as_pass("passthrough", [elements(parent)], [{"scale": 0.7}], {}), torch.empty_like(parent)
    assert task is not None and merge_on_cpu(found, None, [parent], BF16, task)
    assert torch.equal(bits(found), bits(rules["passthrough"](None, [parent], [{"scale": 0.7}], {}, PeerDraws(0))))
