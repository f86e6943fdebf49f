"""A model's tensors as safetensors files, written from front to back. No torch.

Names, shapes and dtypes are known before the first tensor is merged: headers are written first, and every tensor goes
straight to its place. Format: https://github.com/huggingface/safetensors
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import mmap
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from merging.errors import TensorError
from merging.headers import DTYPE_NAMES, N_BYTES
from merging.indexes import INDEX, SINGLE, ParentFacts
from merging.plans import TensorJob
from merging.recipes import Dtype, Parent, Recipe

SHARD_BYTES: Final = 5_000_000_000
CODES: Final = {name: code for code, name in DTYPE_NAMES.items()}
"""`bfloat16` -> `BF16`."""

BLOCK: Final = 4096
"""What a disk takes past the page cache: whole blocks from aligned memory."""
BUFFER_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True)
class TensorShape:
    """A tensor before it exists; `dtype` is one of `DTYPE_NAMES`' names."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape) * N_BYTES[CODES[self.dtype]]

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} {list(self.shape)}"


def in_order(recipe: Recipe, jobs: Sequence[TensorJob]) -> Sequence[TensorJob]:
    """The order to merge and write in: of data flow, or of names where mergekit's draws, which depend on it, are repeated."""
    return jobs if recipe.as_mergekit is None else sorted(jobs, key=lambda job: job.name)


def layout(jobs: Sequence[TensorJob], facts: Mapping[Parent, ParentFacts], dtype: Dtype) -> tuple[TensorShape, ...]:
    """The tensors of the result in order of the jobs: each has the shape of its first source, an embedding as many rows
    as its vocabulary wants.
    """
    firsts = [job.sources[0] if job.sources else job.base for job in jobs]
    return tuple(
        TensorShape(job.name, dtype, _shape(job, facts[first.parent].index[first.name].shape))
        for job, first in zip(jobs, firsts, strict=True)
        if first is not None
    )


def _shape(job: TensorJob, stored: tuple[int, ...]) -> tuple[int, ...]:
    return stored if job.tokens is None else (job.tokens.n_rows, *stored[1:])


class ShardWriter:
    """Writes tensors into a folder, in shards of at most `shard_bytes` (one tensor may exceed it).

    Bytes come in order of the layout; what is held in memory is one buffer of 8 MiB. Files have their final names from
    the start, so the folder must be one that counts only when it is finished (`complete_or_absent`); the index of
    several shards is written last. TensorError for a name that comes twice in the layout. Leaving the block closes the
    file; only `finish` says that all is there. `hashes` is filled with the SHA-256 (64 hex digits) of each file of
    tensors by name, computed of what goes to the disk; without it nothing is hashed.
    """

    def __init__(
        self,
        folder: Path,
        layout: Sequence[TensorShape],
        shard_bytes: int = SHARD_BYTES,
        hashes: dict[str, str] | None = None,
    ) -> None:
        names = [tensor.name for tensor in layout]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise TensorError(f"{twice} would be written twice")
        self._folder = folder
        self._shards = _cut(layout, shard_bytes)
        self._left = [(tensor, number) for number, shard in enumerate(self._shards) for tensor in shard][::-1]
        self._number = -1
        self._file: _File | None = None
        self._hashes = hashes

    def write(self, tensor: TensorShape, data: NDArray[np.uint8]) -> None:
        """Writes the bytes of the next tensor of the layout; TensorError when it is not the next, or not as planned."""
        expected, number = self._left[-1] if self._left else (None, -1)
        if tensor != expected:
            raise TensorError(f"{tensor} comes to be written; the plan has {expected or 'nothing more'} here")
        self._file_of(number).write(data)
        self._left.pop()

    def finish(self) -> None:
        """Closes the last file and writes the index, if there are several; TensorError when tensors are missing."""
        if self._left:
            raise TensorError(
                f"{len(self._left)} tensors were never merged, the first of them {self._left[-1][0].name}"
            )
        if not self._shards[0]:
            self._file_of(0)
        self._finish_file()
        if len(self._shards) > 1:
            (self._folder / INDEX).write_text(self._index(), "utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def _file_of(self, number: int) -> _File:
        if self._file is None or number != self._number:
            self._finish_file()
            self._file, self._number = _File(self._folder / self._name(number), self._hashes is not None), number
            self._file.write(np.frombuffer(_header(self._shards[number]), np.uint8))
        return self._file

    def _finish_file(self) -> None:
        if self._file is None:
            return
        sha256 = self._file.finish()
        if self._hashes is not None:
            self._hashes[self._name(self._number)] = sha256

    def _name(self, number: int) -> str:
        n = len(self._shards)
        return SINGLE if n == 1 else f"model-{number + 1:05d}-of-{n:05d}.safetensors"

    def _index(self) -> str:
        weight_map = {tensor.name: self._name(i) for i, shard in enumerate(self._shards) for tensor in shard}
        n_bytes = sum(tensor.n_bytes for shard in self._shards for tensor in shard)
        return json.dumps({"metadata": {"total_size": n_bytes}, "weight_map": weight_map}, indent=2) + "\n"


def _cut(layout: Sequence[TensorShape], shard_bytes: int) -> list[list[TensorShape]]:
    """The layout in pieces of at most so many bytes; at least one piece, none empty but that of an empty layout."""
    shards: list[list[TensorShape]] = [[]]
    room = shard_bytes
    for tensor in layout:
        if shards[-1] and tensor.n_bytes > room:
            shards.append([])
            room = shard_bytes
        shards[-1].append(tensor)
        room -= tensor.n_bytes
    return shards


def _header(tensors: Sequence[TensorShape]) -> bytes:
    """Length and JSON, padded with spaces to whole 8 bytes as the format's own library does."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    start = 0
    for tensor in tensors:
        offsets = [start, start + tensor.n_bytes]
        header[tensor.name] = {"dtype": CODES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        start += tensor.n_bytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


class _File:
    """One file, past the page cache where the file system allows it.

    On a virtual disk direct writes of 8 MB took 0.41 s/GB every time; through the page cache, with the flush that
    durability needs, 0.5 to 3.5 s/GB, and the pages push out the parents'.
    """

    def __init__(self, path: Path, is_hashed: bool) -> None:
        self._descriptor = _open(path)
        self._hash = hashlib.sha256() if is_hashed else None
        self._memory = mmap.mmap(-1, BUFFER_BYTES)  # aligned to a page
        self._buffer = np.frombuffer(self._memory, np.uint8)
        self._n_held = self._n_bytes = 0

    def write(self, data: NDArray[np.uint8]) -> None:
        while data.size:
            n = min(data.size, BUFFER_BYTES - self._n_held)
            self._buffer[self._n_held : self._n_held + n] = data[:n]
            self._n_held += n
            data = data[n:]
            if self._n_held == BUFFER_BYTES:
                self._flush(BUFFER_BYTES)

    def finish(self) -> str:
        """Writes what is held, in whole blocks, and cuts off what they have too much. The hash; "" when nobody wants it."""
        n_bytes = self._n_bytes + self._n_held
        self._flush(-(-self._n_held // BLOCK) * BLOCK)
        os.ftruncate(self._descriptor, n_bytes)
        self.close()
        return "" if self._hash is None else self._hash.hexdigest()

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _flush(self, n: int) -> None:
        left = memoryview(self._memory)[:n]
        if self._hash is not None:
            self._hash.update(left[: self._n_held])
        while left:
            left = left[os.write(self._descriptor, left) :]
        self._n_bytes += n
        self._n_held = 0


def _open(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        return os.open(path, flags | getattr(os, "O_DIRECT", 0), 0o644)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    path.unlink(missing_ok=True)  # a file system without direct writes may have made the file before it said so
    return os.open(path, flags, 0o644)
