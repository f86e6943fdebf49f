"""Damaged numbers are found whatever their dtype and wherever they stand, and nothing else is taken for damage."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from merging import damage
from merging.damage import not_finite
from merging.errors import ParentError
from merging.headers import read_header

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place", [0, 511, 512, 999])
def test_a_number_that_is_not_finite_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, number: float, place: int
) -> None:
    monkeypatch.setattr(damage, "CHUNK_BYTES", 1024)
    damaged = torch.zeros(1000, dtype=dtype)
    damaged[place] = number
    save_file({"a": torch.ones(3, dtype=dtype), "b": damaged, "c": torch.ones(7, dtype=dtype)}, tmp_path / "m")
    assert not_finite(read_header(tmp_path / "m")) == ["b"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_greatest_and_the_smallest_numbers_are_finite(tmp_path: Path, dtype: torch.dtype) -> None:
    facts = torch.finfo(dtype)
    save_file({"a": torch.tensor([facts.max, facts.min, facts.tiny, -0.0], dtype=dtype)}, tmp_path / "m")
    assert not_finite(read_header(tmp_path / "m")) == []


def test_whole_numbers_are_not_looked_at(tmp_path: Path) -> None:
    save_file({"a": torch.full((4,), -1, dtype=torch.int64)}, tmp_path / "m")
    assert not_finite(read_header(tmp_path / "m")) == []


def test_tensors_of_several_files_are_named_in_order(tmp_path: Path) -> None:
    for name in ("2", "1"):
        save_file({f"t{name}": torch.tensor([float("nan")])}, tmp_path / name)
    entries = [*read_header(tmp_path / "2"), *read_header(tmp_path / "1")]
    assert not_finite(entries) == ["t1", "t2"]


def test_a_file_that_was_cut_off_meanwhile_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(100)}, tmp_path / "m")
    entries = read_header(tmp_path / "m")
    (tmp_path / "m").write_bytes((tmp_path / "m").read_bytes()[:-4])
    with pytest.raises(ParentError, match="ends in the middle of a"):
        not_finite(entries)
