"""The head of a safetensors file, read without torch and without trusting it.

A file is hostile until every byte range is accounted for: a header may be too large, lie about lengths, name a tensor
twice, or point at bytes that overlap, leave gaps or are not there. Format: https://github.com/huggingface/safetensors
"""

from __future__ import annotations

import json
import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from merging import plain
from merging.errors import ParentError

MAX_HEADER_BYTES: Final = 64 * 1024 * 1024
"""60,000 tensors need about 8 MB; the library itself stops at 100 MB."""

N_BYTES: Final[dict[str, int]] = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip
DTYPE_NAMES: Final[dict[str, str]] = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""Dtypes that can be merged, as the file and as everybody else writes them."""


@dataclass(frozen=True)
class TensorEntry:
    """Where a tensor lies: bytes `start` to `stop` of `file`, counted from the beginning of the file."""

    name: str
    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def n_elements(self) -> int:
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        return self.stop - self.start


def read_header(path: Path) -> tuple[TensorEntry, ...]:
    """The tensors of one file, in order of position; ParentError names the file, the tensor, what was found and expected."""
    with _open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        text, n_header = _header_text(file, path.name, size)
    start = 8 + n_header
    entries = [
        _entry(name, value, path, start) for name, value in _parse(text, path.name).items() if name != "__metadata__"
    ]
    entries.sort(key=lambda entry: (entry.start, entry.stop))
    _check_ranges(entries, path.name, start, size)
    return tuple(entries)


def _open_regular(path: Path) -> BinaryIO:
    if not path.is_file():
        raise ParentError(f"{path.name} in {path.parent} is missing or not a regular file")
    return path.open("rb")


def _header_text(file: BinaryIO, name: str, size: int) -> tuple[bytes, int]:
    head = file.read(8)
    n_header = struct.unpack("<Q", head)[0] if len(head) == 8 else -1
    if not 2 <= n_header <= min(MAX_HEADER_BYTES, size - 8):
        raise ParentError(
            f"{name} is no safetensors file or is cut off: its header claims {n_header} bytes of a file of {size} bytes"
        )
    return file.read(n_header), n_header


def _parse(text: bytes, name: str) -> dict[str, object]:
    try:
        value = json.loads(text.decode(), object_pairs_hook=plain.unique_keys)
    except (ValueError, RecursionError) as error:
        raise ParentError(f"the header of {name} cannot be read: {error}; download the file again") from error
    return dict(plain.mapping(value, f"the header of {name}", ParentError))


def _entry(name: str, value: object, path: Path, start: int) -> TensorEntry:
    what = f"tensor {name} of {path.name}"
    found = plain.fields(value, ("dtype", "shape", "data_offsets"), what, ParentError)
    dtype = plain.text(found["dtype"], f"dtype of {what}", ParentError)
    if dtype not in N_BYTES:
        raise ParentError(f"{what} has dtype {dtype}; expected one of {', '.join(N_BYTES)}")
    shape = plain.items(found["shape"], f"shape of {what}", ParentError, _count)
    offsets = plain.items(found["data_offsets"], f"offsets of {what}", ParentError, _count)
    n_bytes = math.prod(shape) * N_BYTES[dtype]
    if len(offsets) != 2 or offsets[1] - offsets[0] != n_bytes:
        raise ParentError(f"{what} has offsets {list(offsets)}; expected {n_bytes} bytes for {dtype} {list(shape)}")
    return TensorEntry(name, path, dtype, shape, start + offsets[0], start + offsets[1])


def _count(value: object, what: str) -> int:
    number = plain.integer(value, what, ParentError)
    if not 0 <= number < 2**63:
        raise ParentError(f"{what} is {number}; expected a count")
    return number


def _check_ranges(entries: list[TensorEntry], name: str, start: int, size: int) -> None:
    """The tensors cover the rest of the file without overlap or gap."""
    position = start
    for entry in entries:
        if entry.start != position:
            kind = "overlaps the tensor before it" if entry.start < position else "leaves a gap before it"
            raise ParentError(
                f"tensor {entry.name} of {name} {kind}: starts at byte {entry.start}, expected {position}"
            )
        position = entry.stop
    if position != size:
        problem = "is cut off" if position > size else "has bytes that belong to no tensor"
        raise ParentError(f"{name} {problem}: {size} bytes, expected {position}; download the file again")
