"""From parents' files to a model's files: reading, merging and writing overlap. Imports numba, and torch where there may be a GPU.

Knows plans and tensors, not methods. Order and bytes of the files are those of the plan, however many threads compute.
"""

from __future__ import annotations

import ctypes
import itertools
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from merging.assembly import NamedTensor, assemble
from merging.elements import AnyTensor, as_tensor
from merging.folders import room_for
from merging.indexes import ParentFacts
from merging.memory import keep_freed_memory
from merging.plans import TensorJob, TensorOf
from merging.recipes import Parent, Recipe
from merging.shards import SHARD_BYTES, TensorShape, layout
from merging.tensors import TensorReader, TensorWriter

AHEAD_BYTES: Final = 256 * 1024 * 1024
"""Parents' tensors that the disk is asked for before a merge wants them."""
WAITING_BYTES: Final = 64 * 1024 * 1024
"""Merged tensors that may wait for the disk; one tensor may exceed it, but then it waits alone."""


@dataclass(frozen=True)
class Written:
    """How far a model is written."""

    n_tensors: int
    of_tensors: int
    n_bytes: int
    of_bytes: int


Heard = Callable[[Written], None]
"""Called from the thread that merges; an exception that it raises ends the work."""


class FileSource:
    """A `TensorSource` for one pass over the jobs, in their order.

    Each tensor is fetched a little ahead and let go when its job has passed; then it stays in the system's cache while
    there is room, and who still looks at it maps it again. ParentError when a file is not what its index says any more.
    """

    def __init__(self, jobs: Sequence[TensorJob], facts: Mapping[Parent, ParentFacts], device: str) -> None:
        self._reader = TensorReader()
        self._device = device
        self._facts = facts
        self._entries = [[facts[of.parent].index[of.name] for of in _inputs(job)] for job in jobs]
        self._uses: dict[tuple[Parent, str], list[int]] = {}
        for number, job in enumerate(jobs):
            for of in _inputs(job):
                self._uses.setdefault((of.parent, of.name), []).append(number)  # more than one in a stack
        self._passed = self._asked = 0
        self._n_ahead = 0
        for entry in itertools.chain.from_iterable(self._entries):
            self._reader.files.pages(entry)  # so that a file that has changed is told before anything is merged
        self._disk = ThreadPoolExecutor(1, "reader")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._disk.shutdown(cancel_futures=True)
        self._reader.close()

    def tensor(self, parent: Parent, name: str) -> AnyTensor:
        """See `TensorSource`."""
        self._move_to(next(job for job in self._uses[parent, name] if job >= self._passed))
        stored = self._reader.read(self._facts[parent].index[name])
        return stored if self._device == "cpu" else as_tensor(stored).to(self._device)

    def _move_to(self, job: int) -> None:
        for entries in self._entries[self._passed : job]:
            for entry in entries:
                self._reader.files.done(entry)
                self._n_ahead -= entry.n_bytes
        self._passed = job
        while self._asked < len(self._entries) and self._n_ahead < AHEAD_BYTES:
            for entry in self._entries[self._asked]:
                self._disk.submit(self._reader.files.soon, entry)
                self._n_ahead += entry.n_bytes
            self._asked += 1


def _inputs(job: TensorJob) -> Sequence[TensorOf]:
    return job.sources if job.base is None else (*job.sources, job.base)


def merge_files(
    recipe: Recipe, jobs: Sequence[TensorJob], facts: Mapping[Parent, ParentFacts], folder: Path, heard: Heard
) -> None:
    """Merges the parents' files into a model's files in a folder; see `write_model` for what ends it early."""
    keep_freed_memory()
    with FileSource(jobs, facts, best_device()) as source:
        write_model(assemble(recipe, jobs, source), layout(jobs, facts, recipe.dtype), folder, heard)


def best_device() -> str:
    """`cuda` where torch finds a GPU. It is not asked where no driver's library is installed, without which it finds none."""
    if not _may_have_gpu():
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _may_have_gpu() -> bool:
    """For certain, only on Linux: of NVIDIA's driver the library, of AMD's the device."""
    if sys.platform != "linux":
        return True
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return Path("/dev/kfd").exists()
    return True


def write_model(
    tensors: Iterable[NamedTensor],
    planned: Sequence[TensorShape],
    folder: Path,
    heard: Heard,
    shard_bytes: int = SHARD_BYTES,
    hashes: dict[str, str] | None = None,
) -> None:
    """Writes the tensors, which come in the order planned, as a model's files into a folder; `hashes` as for `ShardWriter`.

    A second thread writes; whatever ends the work, it has ended too when this returns. Then, too, an error of either
    side is raised, and the folder is worth nothing.
    """
    n_bytes = sum(tensor.n_bytes for tensor in planned)
    with (
        room_for(n_bytes, folder),
        TensorWriter(folder, planned, shard_bytes, hashes) as writer,
        ThreadPoolExecutor(1, "writer") as thread,
    ):
        belt = _Belt(planned, heard)
        try:
            for name, tensor in tensors:
                belt.put(thread.submit(writer.add, name, tensor), tensor.nbytes)
            belt.clear()
        except BaseException:
            thread.shutdown(cancel_futures=True)
            raise
        writer.finish()


class _Belt:
    """What is on its way to the disk, and what has arrived there."""

    def __init__(self, planned: Sequence[TensorShape], heard: Heard) -> None:
        self._of_tensors, self._of_bytes = len(planned), sum(tensor.n_bytes for tensor in planned)
        self._heard = heard
        self._waiting: deque[tuple[Future[None], int]] = deque()
        self._n_waiting = self._n_bytes = self._n_tensors = 0

    def put(self, writing: Future[None], n_bytes: int) -> None:
        """Adds a tensor; then waits until no more than `WAITING_BYTES` are on the belt."""
        self._waiting.append((writing, n_bytes))
        self._n_waiting += n_bytes
        while self._waiting and (self._n_waiting > WAITING_BYTES or self._waiting[0][0].done()):
            self._take()

    def clear(self) -> None:
        """Waits until everything has arrived."""
        while self._waiting:
            self._take()

    def _take(self) -> None:
        writing, n_bytes = self._waiting.popleft()
        writing.result()
        self._n_waiting -= n_bytes
        self._n_bytes += n_bytes
        self._n_tensors += 1
        self._heard(Written(self._n_tensors, self._of_tensors, self._n_bytes, self._of_bytes))
