"""safetensors headers: everything that the library itself would write is read, everything else is refused in words."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from merging.errors import ParentError
from merging.headers import MAX_HEADER_BYTES, read_header


def write(path: Path, header: Any, n_data: int = 8, n_header: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if n_header is None else n_header) + text + bytes(n_data))
    return path


def entry(start: int, stop: int, shape: list[Any], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def test_what_the_library_writes_is_read(tmp_path: Path) -> None:
    tensors = {"b": torch.zeros(2, 3), "a": torch.zeros(5, dtype=torch.bfloat16), "empty": torch.zeros(0)}
    save_file(tensors, tmp_path / "m.safetensors", metadata={"format": "pt"})
    found = {e.name: (e.dtype, e.shape, e.n_bytes, e.n_elements) for e in read_header(tmp_path / "m.safetensors")}
    assert found == {"b": ("F32", (2, 3), 24, 6), "a": ("BF16", (5,), 10, 5), "empty": ("F32", (0,), 0, 0)}


def test_positions_are_those_of_the_bytes(tmp_path: Path) -> None:
    save_file({"a": torch.arange(4, dtype=torch.float32)}, tmp_path / "m.safetensors")
    (found,) = read_header(tmp_path / "m.safetensors")
    assert found.file.read_bytes()[found.start : found.stop] == struct.pack("<4f", 0, 1, 2, 3)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"a": entry(0, 4, [2])}, r"a of m.safetensors has offsets \[0, 4\]; expected 8 bytes for F32 \[2\]"),
        ({"a": entry(0, 8, [2], "F33")}, "has dtype F33"),
        ({"a": entry(0, 8, [-2])}, "is -2; expected a count"),
        ({"a": entry(0, 8, [2.0])}, "expected a whole number"),
        ({"a": entry(0, 8, [True])}, "expected a whole number"),
        ({"a": entry(0, 8, [2]), "b": entry(4, 8, [1])}, "tensor b of m.safetensors overlaps the tensor before it"),
        ({"a": entry(4, 8, [1])}, "leaves a gap before it"),
        ({"a": entry(0, 4, [1])}, "has bytes that belong to no tensor"),
        ({"a": entry(0, 16, [4])}, "is cut off"),
        ({"a": entry(0, 8, [2**40, 2**40])}, "expected"),
        ({"a": {"dtype": "F32", "shape": [2]}}, "lacks data_offsets"),
        ({"a": entry(0, 8, [2]) | {"more": 1}}, "has unknown more"),
        ({"a": 3}, "tensor a of m.safetensors is 3"),
        ({"a": entry(0, 0, [2**62, 4, 0])}, "expected at most 9223372036854775807 bytes of F32"),
        ({"a": entry(0, 8, [1] * 64 + [2])}, "has 65 numbers; expected at most 64"),
        ({"a": entry(0, 8, [2]) | {"data_offsets": [0, 8, 8]}}, "has 3 numbers; expected at most 2"),
        (b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [-0, 8]}}', "-0 is no count"),
        ({"a\x1b[2J": entry(0, 8, [2])}, r"a tensor with the name 'a\\x1b\[2J'; expected at most 1000 characters"),
        ({"a\ud800": entry(0, 8, [2])}, r"a tensor with the name 'a\\ud800'"),
        ({"x" * 1001: entry(0, 8, [2])}, r"a tensor with the name 'x{1000}'\.\.\.; expected"),
        ({"a": entry(0, 8, [2]), "__metadata__": 3}, "__metadata__ of m.safetensors is 3"),
        (
            {"a": entry(0, 8, [2]), "__metadata__": {"step": 3}},
            "'step' in __metadata__ of m.safetensors is 3; expected text",
        ),
        ({"a": entry(0, 8, [2]), "__metadata__": {"a": "\udfff"}}, "has 'a', which is not Unicode"),
        ([1], "the header of m.safetensors is"),
        (b'{"a": {}, "a": {}}', "the key 'a' comes twice"),
        (b"\xff\xfe", "cannot be read"),
        (b"{ ", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, header: Any, message: str) -> None:
    with pytest.raises(ParentError, match=message):
        read_header(write(tmp_path / "m.safetensors", header))


@pytest.mark.parametrize("n_header", [0, 1, 2**63, MAX_HEADER_BYTES + 1, 100])
def test_a_header_of_impossible_length_is_refused(tmp_path: Path, n_header: int) -> None:
    with pytest.raises(ParentError, match="its header claims"):
        read_header(write(tmp_path / "m.safetensors", {}, n_header=n_header))


@pytest.mark.parametrize("content", [b"", b"1234567", b"\x80\x02}q\x00."])
def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(ParentError, match="no safetensors file or is cut off"):
        read_header(tmp_path / "m.safetensors")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(ParentError, match="missing or not a regular file"):
            read_header(path)


@pytest.mark.parametrize("n_lost", [1, 8, 20, 100])
def test_a_truncated_file_is_refused(tmp_path: Path, n_lost: int) -> None:
    save_file({"a": torch.zeros(30)}, tmp_path / "m.safetensors")
    content = (tmp_path / "m.safetensors").read_bytes()
    (tmp_path / "m.safetensors").write_bytes(content[:-n_lost])
    with pytest.raises(
        ParentError,
        match=r"m.safetensors is cut off from tensor a on: \d+ bytes, expected \d+; download the file again",
    ):
        read_header(tmp_path / "m.safetensors")
