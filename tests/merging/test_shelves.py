"""How much of a device's memory is for parents."""

from __future__ import annotations

import pytest
import torch

from merging.shelves import room_beside_model

GPU = torch.device("cuda")


def test_three_parents_of_7_b_and_their_base_fit_beside_a_model_on_80_gb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (84_000_000_000, 85_000_000_000))
    one = 14_500_000_000
    assert 4 * one <= room_beside_model(GPU, one) < 84_000_000_000 - one


def test_where_a_model_hardly_fits_no_parent_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (15_000_000_000, 16_000_000_000))
    assert room_beside_model(GPU, 14_500_000_000) == 0
