"""What tells a model folder from every other: its fingerprint, and its inventory, which says where two folders differ. No torch.

Both are computed from one reading of the files. sha256 leaves the interpreter free, so threads do it while others work.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self

from merging import plain
from merging.errors import ParentError
from merging.files import Version, blob_name, open_regular
from merging.headers import TensorEntry, header_of
from merging.recipes import Parent, Recipe

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

FINGERPRINTED: Final = (".safetensors", ".json", ".model", ".txt", ".jinja")
HASH_BYTES: Final = 8 * 1024 * 1024
"""Read and hashed at a time: every block waits once for the interpreter, which a busy thread gives up every 5 ms."""
MAX_KNOWN: Final = 4096
UNREAD: Final = ""
"""The fingerprint of a parent whose files are still being read."""

_known: dict[tuple[Path, Version], str] = {}


@dataclass(frozen=True)
class FileSums:
    """What a file holds: sha256 as 64 hex digits, and crc32 of every tensor in order of position, none in other files.

    The first says that something changed and cannot be deceived; the second says where, and is half as much work.
    """

    n_bytes: int
    sha256: str
    tensors: Mapping[str, int]


@dataclass(frozen=True)
class Inventory:
    """All files of a folder that decide what a model does, by name."""

    files: Mapping[str, FileSums]

    @property
    def fingerprint(self) -> str:
        """See `fingerprint`."""
        return _digest({name: sums.sha256 for name, sums in self.files.items()})

    def change(self, found: Inventory) -> str:
        """Where a folder that should be this one differs first, for a person; "" when it does not."""
        for name in sorted({*self.files, *found.files}):
            expected, here = self.files.get(name), found.files.get(name)
            if here is None:
                return f"{name} is missing"
            if expected is None:
                return f"{name} was not there"
            if expected.sha256 != here.sha256:
                return f"{name} is another file: {_difference(expected, here)}"
        return ""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types, the opposite of `from_json`."""
        return {
            name: {
                "n_bytes": sums.n_bytes,
                "sha256": sums.sha256,
                "tensors": [list(one) for one in sums.tensors.items()],
            }
            for name, sums in self.files.items()
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inventory that `to_json` wrote."""
        return cls(
            {name: FileSums(of["n_bytes"], of["sha256"], dict(map(tuple, of["tensors"]))) for name, of in value.items()}
        )


class Fingerprints:
    """Starts early, answers late. Leaving the block drops what nobody waits for any more."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(os.cpu_count(), "fingerprints")
        self._hashes: dict[str, list[Future[str]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(cancel_futures=True)

    def start(self, folder: str) -> None:
        """Begins to hash a folder's files, unless that has begun. ParentError when it cannot be listed."""
        if folder not in self._hashes:
            self._hashes[folder] = [self._threads.submit(file_hash, path) for path in _files(Path(folder))]

    def completed(self, recipe: Recipe) -> Recipe:
        """The recipe with all its fingerprints; waits for those still unread.

        ParentError when one that the recipe knew is another now, or a file is not what its name in the Hub's cache says.
        """
        base = None if recipe.base is None else self._completed(recipe.base)
        return replace(recipe, base=base, parents=tuple(self._completed(parent) for parent in recipe.parents))

    def _completed(self, parent: Parent) -> Parent:
        self.start(parent.folder)
        for hashed in self._hashes[parent.folder]:
            hashed.result()
        found = fingerprint(parent.folder)
        if parent.fingerprint not in (UNREAD, found):
            raise ParentError(
                f"the files of {parent.name} in {parent.folder} have changed since the recipe was made: their fingerprint is "
                f"{found}, expected {parent.fingerprint}; get the files again, or make the recipe anew"
            )
        return replace(parent, fingerprint=found)


def fingerprint(folder: str | Path) -> str:
    """sha256 over the names and hashes of all files that decide what a model does; its card is not among them.

    ParentError for a file that must not be opened, or is not what its name in the Hub's cache says.
    """
    return _digest({path.name: file_hash(path) for path in _files(Path(folder))})


def take_inventory(folder: str | Path) -> Inventory:
    """The inventory of a folder; reads every byte. ParentError as by `fingerprint`."""
    return Inventory({path.name: _sums(path, with_tensors=True) for path in _files(Path(folder))})


def file_hash(path: Path) -> str:
    """sha256 of a file as 64 hex digits; read again only when its size, time or inode has changed."""
    return _known.get((path, Version.of(path))) or _sums(path, with_tensors=False).sha256  # 15 GB take ten seconds


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


def _digest(hashes: Mapping[str, str]) -> str:
    return plain.digest([[name, hashes[name]] for name in sorted(hashes)])


def _sums(path: Path, with_tensors: bool) -> FileSums:
    with open_regular(path) as file:
        version, named = Version.of(file.fileno()), blob_name(path)
        tensors = _Tensors(_entries(file, path) if with_tensors else ())
        whole = hashlib.sha256()
        cached = _hash_of_cache(named, version.n_bytes) or whole
        file.seek(0)
        for block in _blocks(file):
            tensors.update(block)
            for digest in {whole, cached}:
                digest.update(block)
    if len(named) == len(cached.hexdigest()) and named != cached.hexdigest():
        raise ParentError(
            f"{path.name} in {path.parent} is damaged: its hash is {cached.hexdigest()}, and the Hub's cache, which names "
            f"files by their hashes, calls it {named}; remove it there and download it again"
        )
    if len(_known) >= MAX_KNOWN:
        _known.clear()
    _known[path, version] = whole.hexdigest()
    return FileSums(version.n_bytes, whole.hexdigest(), tensors.sums)


def _hash_of_cache(named: str, n_bytes: int) -> Hash | None:
    """What the Hub's cache names a small file by: the hash that git has for it. Large files have their sha256."""
    is_of_git = len(named) == 2 * hashlib.sha1(usedforsecurity=False).digest_size
    return hashlib.sha1(b"blob %d\0" % n_bytes, usedforsecurity=False) if is_of_git else None


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
    block = memoryview(bytearray(HASH_BYTES))
    while n := file.readinto(block):
        yield block[:n]


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


def _difference(expected: FileSums, here: FileSums) -> str:
    if expected.n_bytes != here.n_bytes:
        return f"it has {here.n_bytes} bytes, expected {expected.n_bytes}"
    others = [name for name, value in expected.tensors.items() if here.tensors.get(name) != value]
    if not others or not here.tensors:
        return f"its sha256 is {here.sha256}, expected {expected.sha256}"
    first, more = others[0], len(others) - 1
    if first not in here.tensors:
        return f"it has no tensor {first}"
    told = f"tensor {first} has the checksum {here.tensors[first]:08x}, expected {expected.tensors[first]:08x}"
    return told + (f"; so have {more} more" if more else "")
