"""What tells a model folder from every other: its fingerprint, and its inventory, which says where two folders differ. No torch.

Both are computed from one reading of the files. Hashes are BLAKE3, 4.7 GB/s on a core where sha256 takes 1.8; what was
written down with sha256 before is compared by sha256. Either leaves the interpreter free, so threads hash while others work.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Literal, Protocol, Self

from blake3 import blake3

from merging import plain
from merging.errors import ParentError
from merging.files import Version, blob_name, open_regular
from merging.headers import TensorEntry, header_of
from merging.recipes import Parent, Recipe

FINGERPRINTED: Final = (".safetensors", ".json", ".model", ".txt", ".jinja")
HASH_BYTES: Final = 8 * 1024 * 1024
"""Read and hashed at a time: every block waits once for the interpreter, which a busy thread gives up every 5 ms."""
MAX_KNOWN: Final = 4096
UNREAD: Final = ""
"""The fingerprint of a parent whose files are still being read."""

Algorithm = Literal["blake3", "sha256"]
"""What a fingerprint begins with."""
NEWEST: Final[Algorithm] = "blake3"

_known: dict[tuple[Path, Version, Algorithm], tuple[str, bool]] = {}
"""Hashes of files, and whether a file's name in the Hub's cache was checked as well."""


@dataclass(frozen=True)
class FileSums:
    """What a file holds: its hash as 64 hex digits, and crc32 of every tensor in order of position, none in other files.

    The first says that something changed and cannot be deceived; the second says where.
    """

    n_bytes: int
    hash: str
    tensors: Mapping[str, int]


@dataclass(frozen=True)
class Inventory:
    """All files of a folder that decide what a model does, by name."""

    files: Mapping[str, FileSums]
    algorithm: Algorithm = NEWEST

    @property
    def fingerprint(self) -> str:
        """See `fingerprint`."""
        return _digest({name: sums.hash for name, sums in self.files.items()}, self.algorithm)

    def change(self, found: Inventory) -> str:
        """Where a folder that should be this one differs first, for a person; "" when it does not.

        `found` was taken with the same algorithm.
        """
        for name in sorted({*self.files, *found.files}):
            expected, here = self.files.get(name), found.files.get(name)
            if here is None:
                return f"{name} is missing"
            if expected is None:
                return f"{name} was not there"
            if expected.hash != here.hash:
                return f"{name} is another file: {_difference(expected, here, self.algorithm)}"
        return ""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types, the opposite of `from_json`."""
        return {
            name: {
                "n_bytes": sums.n_bytes,
                self.algorithm: sums.hash,
                "tensors": [list(one) for one in sums.tensors.items()],
            }
            for name, sums in self.files.items()
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inventory that `to_json` wrote, now or when hashes were sha256."""
        by: Algorithm = "sha256" if any("sha256" in of for of in value.values()) else NEWEST
        files = {name: FileSums(of["n_bytes"], of[by], dict(map(tuple, of["tensors"]))) for name, of in value.items()}
        return cls(files, by)


class Fingerprints:
    """Starts early, answers late. Leaving the block drops what nobody waits for any more."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(os.cpu_count(), "fingerprints")
        self._hashes: dict[Parent, list[Future[str]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(cancel_futures=True)

    def start(self, parent: Parent) -> None:
        """Begins to hash a parent's files, unless that has begun. ParentError when its folder cannot be listed.

        The files are mapped, not read: the thread waits for the interpreter once for each, and nothing is copied. A file
        that is cut off meanwhile ends the process, as it does where the merge maps it.
        """
        if parent not in self._hashes:
            how = _Reading.for_known(parent.fingerprint, is_mapped=True)
            self._hashes[parent] = [self._threads.submit(_hash, path, how) for path in _files(Path(parent.folder))]

    def completed(self, recipe: Recipe) -> Recipe:
        """The recipe with all its fingerprints; waits for those still unread.

        ParentError when one that the recipe knew is another now, or a file is not what its name in the Hub's cache says.
        """
        base = None if recipe.base is None else self._completed(recipe.base)
        return replace(recipe, base=base, parents=tuple(self._completed(parent) for parent in recipe.parents))

    def _completed(self, parent: Parent) -> Parent:
        self.start(parent)
        for hashed in self._hashes[parent]:
            hashed.result()
        found = fingerprint(parent.folder, parent.fingerprint)
        if parent.fingerprint not in (UNREAD, found):
            raise ParentError(
                f"the files of {parent.name} in {parent.folder} have changed since the recipe was made: their fingerprint is "
                f"{found}, expected {parent.fingerprint}; get the files again, or make the recipe anew"
            )
        return replace(parent, fingerprint=found)


def fingerprint(folder: str | Path, known: str = UNREAD) -> str:
    """A hash over the names and hashes of all files that decide what a model does; its card is not among them.

    With the algorithm of the fingerprint that is `known` of the folder, to be compared with it. Where none is, a file
    must be what its name in the Hub's cache says. ParentError when it is not, and for a file that must not be opened.
    """
    how = _Reading.for_known(known)
    return _digest({path.name: _hash(path, how) for path in _files(Path(folder))}, how.algorithm)


def take_inventory(folder: str | Path, algorithm: Algorithm = NEWEST) -> Inventory:
    """The inventory of a folder; reads every byte. ParentError as by `fingerprint`, names in the Hub's cache included."""
    how = _Reading(algorithm, checks_names=True, with_tensors=True)
    return Inventory({path.name: _sums(path, how) for path in _files(Path(folder))}, algorithm)


def file_hash(path: Path) -> str:
    """sha256 of a file as 64 hex digits; read again only when its size, time or inode has changed."""
    return _hash(path, _Reading("sha256", checks_names=True))


@dataclass(frozen=True)
class _Reading:
    """How a file is read: its names in the Hub's cache are what tells damage while nothing else is known of a folder."""

    algorithm: Algorithm
    checks_names: bool
    with_tensors: bool = False
    is_mapped: bool = False

    @classmethod
    def for_known(cls, known: str, is_mapped: bool = False) -> Self:
        """To compare with a fingerprint that is known, or for the first one of a folder."""
        return cls("sha256" if known.startswith("sha256:") else NEWEST, known == UNREAD, is_mapped=is_mapped)


class _Digest(Protocol):
    """Of hashlib or blake3."""

    def update(self, data: Any, /) -> object: ...

    def hexdigest(self) -> str: ...


def _hash(path: Path, how: _Reading) -> str:
    known, is_checked = _known.get((path, Version.of(path), how.algorithm), ("", False))
    return known if known and is_checked >= how.checks_names else _sums(path, how).hash


def _files(folder: Path) -> list[Path]:
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix in FINGERPRINTED and path.is_file())
    except OSError as error:
        raise ParentError(f"{folder} cannot be read: {error.strerror}") from error
    if strange := [path.name for path in found if not path.name.isprintable()]:
        raise ParentError(
            f"{folder} has a file with the name {strange[0]!r}, which cannot be shown; remove or rename it"
        )
    return found


def _digest(hashes: Mapping[str, str], algorithm: Algorithm) -> str:
    listed = [[name, hashes[name]] for name in sorted(hashes)]
    if algorithm == "sha256":
        return plain.digest(listed)
    return f"{algorithm}:{blake3(plain.canonical(listed).encode()).hexdigest()}"


def _sums(path: Path, how: _Reading) -> FileSums:
    with open_regular(path) as file:
        version, named = Version.of(file.fileno()), blob_name(path) if how.checks_names else ""
        tensors = _Tensors(_entries(file, path) if how.with_tensors else ())
        whole: _Digest = blake3() if how.algorithm == "blake3" else hashlib.sha256()
        cached = _digest_of_cache(named, version.n_bytes)
        for block in _mapped(file) if how.is_mapped else _blocks(file):
            tensors.update(block)
            whole.update(block)
            if cached is not None:
                cached.update(block)
    if cached is not None and named != (found := cached.hexdigest()):
        raise ParentError(
            f"{path.name} in {path.parent} is damaged: its hash is {found}, and the Hub's cache, which names "
            f"files by their hashes, calls it {named}; remove it there and download it again"
        )
    if len(_known) >= MAX_KNOWN:
        _known.clear()
    _known[path, version, how.algorithm] = whole.hexdigest(), how.checks_names
    return FileSums(version.n_bytes, whole.hexdigest(), tensors.sums)


def _digest_of_cache(named: str, n_bytes: int) -> _Digest | None:
    """What the Hub's cache names a file by: the sha256 of a large one, the hash that git has for a small one."""
    if len(named) == 2 * hashlib.sha1(usedforsecurity=False).digest_size:
        return hashlib.sha1(b"blob %d\0" % n_bytes, usedforsecurity=False)
    return hashlib.sha256() if len(named) == 2 * hashlib.sha256().digest_size else None


def _entries(file: BinaryIO, path: Path) -> Sequence[TensorEntry]:
    """The tensors of a file; none when it has none, or none that can be told apart: it is hashed all the same."""
    if path.suffix != ".safetensors":
        return ()
    try:
        return header_of(file, path)
    except ParentError:
        return ()


def _blocks(file: BufferedReader) -> Iterator[memoryview]:
    """A file from front to back; each block is gone when the next one comes."""
    file.seek(0)
    block = memoryview(bytearray(HASH_BYTES))
    while n := file.readinto(block):
        yield block[:n]


def _mapped(file: BufferedReader) -> Iterator[memoryview]:
    """The same without a copy, in one piece."""
    if os.fstat(file.fileno()).st_size:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pages, memoryview(pages) as whole:
            pages.madvise(mmap.MADV_SEQUENTIAL)
            yield whole


class _Tensors:
    """Sums over the tensors of a file that passes by in blocks. The entries are in order of position, without gaps."""

    def __init__(self, entries: Sequence[TensorEntry]) -> None:
        self.sums = {entry.name: 0 for entry in entries}
        self._left = [entry for entry in entries if entry.n_bytes][::-1]
        self._position = 0

    def update(self, block: memoryview) -> None:
        while block and self._left:
            entry = self._left[-1]
            begin = max(0, entry.start - self._position)
            piece = block[begin : entry.stop - self._position]
            self.sums[entry.name] = zlib.crc32(piece, self.sums[entry.name])
            if self._position + len(block) < entry.stop:
                break
            self._position, block = entry.stop, block[entry.stop - self._position :]
            self._left.pop()
        self._position += len(block)


def _difference(expected: FileSums, here: FileSums, algorithm: Algorithm) -> str:
    if expected.n_bytes != here.n_bytes:
        return f"it has {here.n_bytes} bytes, expected {expected.n_bytes}"
    others = [name for name, value in expected.tensors.items() if here.tensors.get(name) != value]
    if not others or not here.tensors:
        return f"its {algorithm} is {here.hash}, expected {expected.hash}"
    first, more = others[0], len(others) - 1
    if first not in here.tensors:
        return f"it has no tensor {first}"
    told = f"tensor {first} has the checksum {here.tensors[first]:08x}, expected {expected.tensors[first]:08x}"
    return told + (f"; so have {more} more" if more else "")
