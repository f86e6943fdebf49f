"""Folders that are complete or absent: written beside their place, flushed to the disk, then renamed into it."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from merging.errors import MergingError, RoomError

DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
BLOCK_BYTES: Final = 512
"""What `st_blocks` counts, on every system."""

SUMS: Final = "SHA256SUMS"
"""The manifest of a folder; `sha256sum -c` reads it."""


@dataclass(frozen=True)
class BuiltFile:
    """A file of a finished folder; `sha256` is 64 hex digits of its content."""

    name: str
    n_bytes: int
    sha256: str


@contextmanager
def complete_or_absent(folder: Path) -> Iterator[Path]:
    """An empty folder to write into; it becomes `folder` when the block ends well and disappears when it does not.

    A crash leaves at most `.NAME.partial` beside it, which the next attempt removes and `abandoned` names. MergingError
    when `folder` exists already, or another process is writing it.
    """
    with _claimed(folder) as partial:
        try:
            yield partial
            for path in partial.iterdir():
                path.chmod(0o644)  # safetensors writes 0600; a finished model is a file like any other
                flush(path)
            flush(partial)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)  # after the rename there is nothing to remove
    flush(folder.parent)


@contextmanager
def room_for(n_bytes: int, folder: Path) -> Iterator[None]:
    """For a block that writes so much into a folder. RoomError before it when there is less room, or when the disk fills up meanwhile."""
    if (room := _room(folder)) < n_bytes:
        raise RoomError(str(folder.parent), n_bytes, room)
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise RoomError(str(folder.parent), n_bytes, _room(folder)) from error
        raise


def _room(folder: Path) -> int:
    """Bytes that are free, and what the files of the folder take."""
    return shutil.disk_usage(folder).free + sum(path.stat().st_blocks * BLOCK_BYTES for path in folder.iterdir())


def abandoned(beside: Path) -> list[Path]:
    """What killed processes left in a folder: half-written folders that nobody writes any more."""
    return [path for path in sorted(beside.glob(".*.partial")) if path.is_dir() and not _is_claimed(path)]


def with_sums(folder: Path, hashes: Mapping[str, str]) -> list[BuiltFile]:
    """Adds `SHA256SUMS` to a folder of files, and describes every file by name. `hashes` are known already; other files are read."""
    files = [_built(path, hashes.get(path.name)) for path in folder.iterdir()]
    (folder / SUMS).write_text(sums_text((file.name, file.sha256) for file in sorted(files, key=_name)), "utf-8")
    return sorted([*files, _built(folder / SUMS)], key=_name)


def sums_text(hashes: Iterable[tuple[str, str]]) -> str:
    """Names with their SHA-256, in their order, as `sha256sum -c` reads them."""
    return "".join(f"{sha256}  {name}\n" for name, sha256 in hashes)


def _built(path: Path, sha256: str | None = None) -> BuiltFile:
    return BuiltFile(path.name, path.stat().st_size, sha256 or sha256_of(path))


def _name(file: BuiltFile) -> str:
    return file.name


@contextmanager
def _claimed(folder: Path) -> Iterator[Path]:
    """The empty folder beside it, for this process alone. The lock on it ends with the process, however that ends."""
    partial = folder.with_name(f".{folder.name}.partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(folder):
        raise MergingError(f"{folder} exists already; choose another folder or remove it")
    partial.mkdir(exist_ok=True)
    descriptor = os.open(partial, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if not _lock(descriptor) or os.path.lexists(folder):  # it may have become `folder` just now
            raise MergingError(f"{folder} is being written by another process; choose another folder, or wait for it")
        for path in partial.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        yield partial
    finally:
        os.close(descriptor)


def _is_claimed(partial: Path) -> bool:
    descriptor = os.open(partial, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """False when another has it. True where the file system has no locks on folders, as some network ones."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


def flush(path: Path) -> None:
    """A file or a folder, onto the disk: nothing is complete while it is only in the page cache."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file as 64 hex digits; reads all of it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
