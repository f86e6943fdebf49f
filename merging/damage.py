"""Numbers in a model's files that are not finite: found by their exponents, in bounded memory. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from typing import Any, BinaryIO, Final

import numpy as np

from merging.errors import ParentError
from merging.files import open_regular
from merging.headers import TensorEntry

EXPONENTS: Final[dict[str, tuple[Any, int]]] = {
    "F64": (np.uint64, 0x7FF0 << 48),
    "F32": (np.uint32, 0x7F80_0000),
    "F16": (np.uint16, 0x7C00),
    "BF16": (np.uint16, 0x7F80),
}
"""How an element is read, and its exponent's bits, which are all set in NaN and in infinity."""
CHUNK_BYTES: Final = 8 * 1024 * 1024


def not_finite(entries: Iterable[TensorEntry]) -> list[str]:
    """The names of the tensors with NaN or infinity among their numbers, in order. Reads every byte; ParentError when some are missing."""
    found: list[str] = []
    for path, held in groupby(sorted(entries, key=attrgetter("file", "start")), attrgetter("file")):
        with open_regular(path) as file:
            found += [entry.name for entry in held if entry.dtype in EXPONENTS and _is_damaged(file, entry)]
    return sorted(found)


def _is_damaged(file: BinaryIO, entry: TensorEntry) -> bool:
    kind, exponent = EXPONENTS[entry.dtype]
    file.seek(entry.start)
    for start in range(entry.start, entry.stop, CHUNK_BYTES):
        wanted = min(CHUNK_BYTES, entry.stop - start)
        read = file.read(wanted)
        if len(read) < wanted:
            raise ParentError(f"{entry.file.name} ends in the middle of {entry.name}: get the file again")
        words = np.frombuffer(read, kind)
        if ((words & exponent) == exponent).any():
            return True
    return False
