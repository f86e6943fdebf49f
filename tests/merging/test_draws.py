"""Random masks: a function of their address, spread evenly, the same on every machine."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
import torch

from merging import draws
from merging.draws import Draws


def mask(n: int = 10_000, share: float = 0.5, seed: int = 0, tensor: str = "t", parent: int = 0) -> torch.Tensor:
    return Draws(seed, tensor).keep(torch.empty(n), share, parent)


def slowly(seed: int, tensor: str, parent: int, element: int) -> int:
    """One element in plain integers."""
    key = hashlib.sha256(f"{seed}/{tensor}/{parent}/{element // draws.BLOCK}".encode()).digest()
    x = element % draws.BLOCK
    for word in (key[0:4], key[4:8]):
        x ^= int.from_bytes(word, "little")
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            x = ((x ^ (x >> shift)) * factor) & 0xFFFFFFFF
        x ^= x >> 16
    return x - 2**32 if x >= 2**31 else x


@pytest.mark.parametrize("share", [0.0001, 0.3, 0.9999])
def test_masks_equal_plain_integer_arithmetic(share: float) -> None:
    threshold = round(share * 2**32) - 2**31
    assert mask(500, share, 3, "x", 1).tolist() == [slowly(3, "x", 1, i) < threshold for i in range(500)]


def test_blocks_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draws, "BLOCK", 64)
    assert mask(200).tolist() == [slowly(0, "t", 0, i) < 0 for i in range(200)]


def test_a_smaller_share_is_part_of_a_larger_one() -> None:
    masks = [mask(share=share) for share in (0.1, 0.4, 0.8, 1.0)]
    assert all(bool((small <= large).all()) for small, large in pairwise(masks))


@pytest.mark.parametrize("other", [{"seed": 1}, {"tensor": "u"}, {"parent": 1}])
def test_masks_of_other_addresses_are_independent(other: dict[str, int]) -> None:
    """Agreement of two fair masks: 1/2 +- 5 x 0.5 / sqrt(10,000); fixed seeds, so it cannot fail by luck later."""
    assert abs(float((mask() == mask(**other)).float().mean()) - 0.5) < 0.025  # type: ignore[arg-type]


@pytest.mark.parametrize("lag", [1, 2, 7, 64, 1024])
def test_neighbours_are_independent(lag: int) -> None:
    found = mask(100_000)
    assert abs(float((found[lag:] == found[:-lag]).float().mean()) - 0.5) < 0.01


def test_the_shape_does_not_change_the_draws() -> None:
    flat, square = mask(400), Draws(0, "t").keep(torch.empty(20, 20), 0.5, 0)
    assert torch.equal(flat, square.flatten())


def test_an_empty_tensor_draws_nothing() -> None:
    assert mask(0).shape == (0,)


@pytest.mark.parametrize("share", [1.0, 1 - 2**-40])
def test_a_share_of_one_keeps_all(share: float) -> None:
    assert mask(share=share).all()
