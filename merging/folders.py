"""Folders that are complete or absent: written beside their place, flushed to the disk, then renamed into it."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from merging.errors import MergingError


@dataclass(frozen=True)
class BuiltFile:
    """A file of a finished folder; `sha256` is 64 hex digits of its content."""

    name: str
    n_bytes: int
    sha256: str


@contextmanager
def complete_or_absent(folder: Path) -> Iterator[Path]:
    """An empty folder to write into; it becomes `folder` when the block ends well and disappears when it does not.

    A crash leaves at most `.NAME.partial` beside it, which the next attempt removes. MergingError when `folder` exists
    already.
    """
    if folder.exists():
        raise MergingError(f"{folder} exists already; choose another folder or remove it")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        for path in partial.iterdir():
            path.chmod(0o644)  # safetensors writes 0600; a finished model is a file like any other
            _flush(path)
        _flush(partial)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # after the rename there is nothing to remove
    _flush(folder.parent)


def built_files(folder: Path) -> list[BuiltFile]:
    """Every file of a folder by name."""
    return [BuiltFile(path.name, path.stat().st_size, _sha256(path)) for path in sorted(folder.iterdir())]


def _flush(path: Path) -> None:
    """Nothing is complete while it is only in the page cache."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
