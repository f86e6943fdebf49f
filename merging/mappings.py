"""Model files mapped into memory, so that a tensor is read where the system keeps it and nothing is copied. No torch.

Knows where tensors lie, not what is done with them.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from merging.errors import ParentError
from merging.files import Version, open_regular
from merging.headers import TensorEntry, header_of

# Private and writable is what torch takes without a warning. Nobody writes, so no page is ever copied, and
# the system need not promise memory for it: without this flag it refuses to map a file larger than the machine's memory.
NORESERVE: Final = 0x4000 if sys.platform == "linux" else 0


@dataclass(frozen=True)
class _Mapped:
    """An open file; its pages stay valid as long as a view of `pages` exists."""

    descriptor: int
    pages: mmap.mmap
    entries: Mapping[str, TensorEntry]


class MappedFiles:
    """Files are mapped on first use and stay so until `close`. From several threads, `soon` alone may be called."""

    def __init__(self) -> None:
        self._files: dict[Path, _Mapped] = {}

    def pages(self, entry: TensorEntry) -> mmap.mmap:
        """The entry's whole file; the tensor lies at bytes `entry.start` to `entry.stop`.

        ParentError when the file is not what its index says any more: when another has its place, or somebody has
        written to it since.
        """
        if entry.file not in self._files:
            self._files[entry.file] = _mapped(entry)
        file = self._files[entry.file]
        found = file.entries.get(entry.name)
        if found != entry or Version.of(file.descriptor) != entry.version:
            here = "missing" if found is None else f"{found.dtype} {list(found.shape)} at byte {found.start}"
            raise ParentError(
                f"{entry.name} of {entry.file.name} is {here}; its index says {entry.dtype} {list(entry.shape)} "
                f"at byte {entry.start}: the file was changed after it was checked"
            )
        return file.pages

    def soon(self, entry: TensorEntry) -> None:
        """Has the disk read a tensor that will be wanted; of no effect where it is in memory already."""
        if sys.platform == "linux" and entry.file in self._files and entry.n_bytes:
            descriptor = self._files[entry.file].descriptor
            os.posix_fadvise(descriptor, entry.start, entry.n_bytes, os.POSIX_FADV_WILLNEED)

    def done(self, entry: TensorEntry) -> None:
        """Takes a tensor's pages out of this process. They stay in the system's cache as long as there is room."""
        first = -(-entry.start // mmap.PAGESIZE) * mmap.PAGESIZE
        n_bytes = entry.stop - first
        if entry.file in self._files and n_bytes >= mmap.PAGESIZE:
            self._files[entry.file].pages.madvise(mmap.MADV_DONTNEED, first, n_bytes // mmap.PAGESIZE * mmap.PAGESIZE)

    def close(self) -> None:
        """Forgets all files; a tensor in use keeps its pages."""
        for file in self._files.values():
            os.close(file.descriptor)
        self._files.clear()


def _mapped(entry: TensorEntry) -> _Mapped:
    """The file that is open is the one whose header is read and whose pages are used, whatever has its name by then."""
    try:
        with open_regular(entry.file) as file:
            entries = {found.name: found for found in header_of(file, entry.file)}
            flags, rights = mmap.MAP_PRIVATE | NORESERVE, mmap.PROT_READ | mmap.PROT_WRITE
            pages = mmap.mmap(file.fileno(), 0, flags=flags, prot=rights)
            return _Mapped(os.dup(file.fileno()), pages, entries)
    except (OSError, ParentError) as error:
        raise ParentError(f"{entry.name} cannot be read from {entry.file.name}: {error}") from error
