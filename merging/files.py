"""Files of a model folder, opened without trusting the folder: regular files that lie in it, and nothing else. No torch.

A snapshot in the Hub's cache consists of links into the cache's own `blobs`, some of which are links into one store for all
models of the cache; they are followed. Every other way out is refused: `merges.txt` as a link to `/proc/self/environ` would
be copied into each model that is built.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Final, Self

from merging.errors import ParentError

SNAPSHOTS: Final = "snapshots"
BLOBS: Final = "blobs"


@dataclass(frozen=True)
class Version:
    """What of a file changes when somebody writes to it or puts another in its place."""

    n_bytes: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, file: int | Path) -> Self:
        """The version of a file, by its descriptor when it is open."""
        found = os.stat(file)
        return cls(found.st_size, found.st_mtime_ns, found.st_ino)


def open_regular(path: Path) -> BufferedReader:
    """The file, open for reading. What is checked is what is open: nobody can put another in its place in between.

    ParentError when it is missing, cannot be read, is no regular file (a folder, a pipe, a device), or is a link out of
    its folder.
    """
    try:
        # a pipe that nobody writes to would keep us waiting; a link that comes after the check is not followed
        descriptor = os.open(_place(path), os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ParentError(f"{path.name} in {path.parent} is missing or not a regular file: {reason}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ParentError(f"{path.name} in {path.parent} is missing or not a regular file")
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path, max_bytes: int) -> bytes:
    """All of a small file; ParentError as by `open_regular`, or when it has more than so many bytes."""
    with open_regular(path) as file:
        found = file.read(max_bytes + 1)
        if len(found) > max_bytes:
            size = os.fstat(file.fileno()).st_size
            raise ParentError(f"{path.name} in {path.parent} has {size} bytes; expected at most {max_bytes}")
    return found


def blob_name(path: Path) -> str:
    """The name that the Hub's cache gave to a file's content, which is a hash of it; "" for a file that is no such link."""
    _place(path)
    return _blob(path).name if path.is_symlink() and _blob(path).parent == _blobs(path) else ""


def _place(path: Path) -> Path:
    """Where the file is; ParentError for a link to somewhere else than this folder and its cache."""
    if not path.is_symlink():
        return path
    folder, place = Path(os.path.realpath(path.parent)), Path(os.path.realpath(path))
    if place.is_relative_to(folder) or place.parent == _blobs(path) or _is_shared(path, place):
        return place
    raise ParentError(
        f"{path.name} in {path.parent} is a link out of the folder, to {place}; expected a file, or a link into the "
        "cache of the Hub: copy the file into the folder"
    )


def _blob(path: Path) -> Path:
    """Where a link leads first."""
    folder = Path(os.path.realpath(path.parent))
    return Path(os.path.normpath(folder / os.readlink(path)))


def _is_shared(path: Path, place: Path) -> bool:
    """Whether a link leads to a blob of its cache, and this to the store that all models of the cache share."""
    blobs = _blobs(path)
    return blobs is not None and _blob(path).parent == blobs and place.parent.parent == blobs.parent.parent / BLOBS


def _blobs(path: Path) -> Path | None:
    """The blobs of the cache that the file's folder is a snapshot in; None when it is in no cache."""
    snapshots = Path(os.path.realpath(path.parent)).parent
    return snapshots.parent / BLOBS if snapshots.name == SNAPSHOTS else None
