"""The head of a safetensors file, read without torch and without trusting it.

A file is hostile until every byte range is accounted for: a header may be too large, lie about lengths, name a tensor
twice, or point at bytes that overlap, leave gaps or are not there. What the format's own library refuses is refused here
too; stricter is this reader with names that come twice or cannot be shown, and with dtypes that no merge can use.
Format: https://github.com/huggingface/safetensors
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from merging import plain
from merging.errors import ParentError
from merging.files import Version, open_regular

MAX_HEADER_BYTES: Final = 8 * 1024 * 1024
"""Of one file, and more than its marks fill. The library stops at 100 MB."""
MAX_MARKS: Final = 256 * 1024
"""Colons and commas of a header; a tensor has about nine, so 29,000 tensors; models of more have many files.

Eight megabytes of the smallest values would take seconds.
"""
MAX_NAME: Final = 1000
MAX_DIMENSIONS: Final = 64
"""More than a tensor of any library has."""
MAX_COUNT: Final = 2**63 - 1

N_BYTES: Final[dict[str, int]] = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip
DTYPE_NAMES: Final[dict[str, str]] = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""Dtypes that can be merged, as the file and as everybody else writes them."""


@dataclass(frozen=True)
class TensorEntry:
    """Where a tensor lies: bytes `start` to `stop` of `file`, counted from the beginning, as long as it has this version."""

    name: str
    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int
    version: Version

    @property
    def n_elements(self) -> int:
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        return self.stop - self.start


def read_header(path: Path) -> tuple[TensorEntry, ...]:
    """The tensors of one file, in order of position; ParentError names the file, the tensor, what was found and expected."""
    with open_regular(path) as file:
        return header_of(file, path)


def header_of(file: BinaryIO, path: Path) -> tuple[TensorEntry, ...]:
    """The same of a file that is open, whatever has its name now."""
    version = Version.of(file.fileno())
    text = _header_text(file, path.name, version.n_bytes)
    start = 8 + len(text)
    fields = _parse(text, path.name)
    _check_metadata(fields.pop("__metadata__", None), path.name)
    entries = [_entry(name, value, path, start, version) for name, value in fields.items()]
    entries.sort(key=lambda entry: (entry.start, entry.stop))
    _check_ranges(entries, path.name, start, version.n_bytes)
    return tuple(entries)


def check_name(name: str, file: str) -> None:
    """ParentError for the name of a tensor that could not be shown or stored as it is."""
    if len(name) > MAX_NAME or not name.isprintable():
        shown = f"{name[:MAX_NAME]!r}{'...' if len(name) > MAX_NAME else ''}"
        raise ParentError(
            f"{file} has a tensor with the name {shown}; expected at most {MAX_NAME} characters, all of them visible"
        )


def _header_text(file: BinaryIO, name: str, size: int) -> bytes:
    head = file.read(8)
    n_header = struct.unpack("<Q", head)[0] if len(head) == 8 else -1
    if not 2 <= n_header <= min(MAX_HEADER_BYTES, size - 8):
        raise ParentError(
            f"{name} is no safetensors file or is cut off: its header claims {n_header} bytes of a file of {size} bytes, "
            f"and at most {MAX_HEADER_BYTES} are read"
        )
    text = file.read(n_header)
    if len(text) != n_header:
        raise ParentError(
            f"{name} was cut off while it was read: {len(text)} of {n_header} bytes of its header are left"
        )
    if (n_marks := text.count(b":") + text.count(b",")) > MAX_MARKS:
        raise ParentError(f"the header of {name} has {n_marks} colons and commas; expected at most {MAX_MARKS}")
    return text


def _parse(text: bytes, name: str) -> dict[str, object]:
    try:
        value = json.loads(text.decode(), object_pairs_hook=plain.unique_keys, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise ParentError(f"the header of {name} cannot be read: {error}; download the file again") from error
    return dict(plain.mapping(value, f"the header of {name}", ParentError))


def _integer(text: str) -> int:
    if text == "-0":
        raise ValueError("-0 is no count")
    return int(text)


def _check_metadata(value: object, name: str) -> None:
    """Nobody reads it; it is checked because other readers stumble over what is wrong in it."""
    what = f"__metadata__ of {name}"
    for key, text in {} if value is None else plain.mapping(value, what, ParentError).items():
        if not _is_unicode(key + plain.text(text, f"{key[:MAX_NAME]!r} in {what}", ParentError)):
            raise ParentError(f"{what} has {key[:MAX_NAME]!r}, which is not Unicode")


def _is_unicode(text: str) -> bool:
    """Whether it has no half of a pair, which JSON can say and no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _entry(name: str, value: object, path: Path, start: int, version: Version) -> TensorEntry:
    check_name(name, path.name)
    what = f"tensor {name} of {path.name}"
    found = plain.fields(value, ("dtype", "shape", "data_offsets"), what, ParentError)
    dtype = plain.text(found["dtype"], f"dtype of {what}", ParentError)
    if dtype not in N_BYTES:
        raise ParentError(f"{what} has dtype {dtype}; expected one of {', '.join(N_BYTES)}")
    shape = _counts(found["shape"], MAX_DIMENSIONS, f"shape of {what}")
    offsets = _counts(found["data_offsets"], 2, f"offsets of {what}")
    n_bytes = _n_bytes(dtype, shape, what)
    if len(offsets) != 2 or offsets[1] - offsets[0] != n_bytes:
        raise ParentError(f"{what} has offsets {list(offsets)}; expected {n_bytes} bytes for {dtype} {list(shape)}")
    return TensorEntry(name, path, dtype, shape, start + offsets[0], start + offsets[1], version)


def _counts(value: object, most: int, what: str) -> tuple[int, ...]:
    if isinstance(value, list) and len(value) > most:
        raise ParentError(f"{what} has {len(value)} numbers; expected at most {most}")
    if isinstance(value, list) and all(type(one) is int and 0 <= one <= MAX_COUNT for one in value):
        return tuple(value)
    return plain.items(value, what, ParentError, _count)  # which says what is wrong


def _count(value: object, what: str) -> int:
    number = plain.integer(value, what, ParentError)
    if not 0 <= number <= MAX_COUNT:
        raise ParentError(f"{what} is {number}; expected a count of at most {MAX_COUNT}")
    return number


def _n_bytes(dtype: str, shape: tuple[int, ...], what: str) -> int:
    """What the shape needs. A zero among the dimensions excuses none of the others: libraries multiply from the left."""
    if math.prod(n for n in shape if n) * N_BYTES[dtype] > MAX_COUNT:
        raise ParentError(f"{what} has the shape {list(shape)}; expected at most {MAX_COUNT} bytes of {dtype}")
    return math.prod(shape) * N_BYTES[dtype]


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
        lost = next((f" from tensor {entry.name} on" for entry in entries if entry.stop > size), "")
        problem = f"is cut off{lost}" if lost else "has bytes that belong to no tensor"
        raise ParentError(f"{name} {problem}: {size} bytes, expected {position}; download the file again")
