"""What a worker on another host keeps of models and questions: folders in its own data folder, complete or absent, that give way when
room is short.

    <data folder>/parents/<fingerprint>       a folder, or a link to the folder on this host that has been read and is the same
    <data folder>/benchmarks/<digest>
    <data folder>/coming/<digest>/            files that have come whole; `<file>.part` is on its way
    <data folder>/locks/<digest>              held by whoever fetches it
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from pathlib import Path

from merging.words import size
from webapp.store.errors import StoreError
from webapp.store.needs import Need
from webapp.system.checks import RESERVE_BYTES
from webapp.system.locks import FileLock, is_held


class Cache:
    """In the data folder of this worker, which other workers of this host share."""

    def __init__(self, data: Path) -> None:
        self._data = data

    def place(self, need: Need) -> Path:
        """Where it is, if it is here; of one file, the folder around it."""
        return self._data / need.kind / need.digest

    def coming(self, need: Need) -> Path:
        """Where its files come together."""
        return self._data / "coming" / need.digest

    def n_bytes_coming(self, need: Need) -> int:
        """How much of it has come."""
        try:
            return sum(path.stat().st_size for path in self.coming(need).iterdir())
        except FileNotFoundError:  # it is all here, or nothing is
            return 0

    def path(self, need: Need) -> str:
        """What to put in place of the server's path."""
        place = self.place(need)
        file = place / Path(need.path).name
        return str(file if need.kind == "benchmarks" and file.is_file() else place)

    def has(self, need: Need) -> bool:
        """Whether all of it is here. A link may lead to what was removed since."""
        return self.place(need).is_dir()

    def use(self, need: Need) -> None:
        """Remember that it was used just now."""
        if not self.place(need).is_symlink():
            os.utime(self.place(need))

    def lock(self, need: Need) -> FileLock:
        """For whoever fetches it."""
        return FileLock(self._lock_file(need))

    def is_fetched(self, need: Need) -> bool:
        """Whether a process of this host is at it."""
        return is_held(self._lock_file(need))

    def link(self, need: Need) -> None:
        """The server's path leads to the same files on this host."""
        place = self.place(need)
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = place.with_name(f".{place.name}.{os.getpid()}")
        target = Path(need.path)
        beside.symlink_to(target.parent if target.is_file() else target)
        beside.rename(place)

    def forget(self, need: Need) -> None:
        """It is not what it should be."""
        place = self.place(need)
        place.unlink() if place.is_symlink() else shutil.rmtree(place, ignore_errors=True)

    def make_room(self, n_bytes: int, keep: Collection[Need]) -> None:
        """Remove models that nobody needs now, those used longest ago first, until so much can come. StoreError when that is not enough."""
        kept = {need.digest for need in keep}
        held = [path for path in (self._data / "parents").glob("*") if path.is_dir() and not path.is_symlink()]
        for path in sorted(held, key=lambda path: path.stat().st_mtime):
            if self._free() >= n_bytes + RESERVE_BYTES:
                return
            if path.name not in kept:
                shutil.rmtree(path, ignore_errors=True)
        if (free := self._free()) < n_bytes + RESERVE_BYTES:
            raise StoreError(
                f"{self._data} has room for {size(free)}, and {size(n_bytes + RESERVE_BYTES)} are needed: make room there, or give "
                "the worker another disk with --data DIR"
            )

    def _lock_file(self, need: Need) -> Path:
        return self._data / "locks" / need.digest

    def _free(self) -> int:
        return shutil.disk_usage(self._data).free
