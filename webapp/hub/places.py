"""Where files of the Hub lie on this server: in its own library's layout, so that a cache can be copied in, or used where it is.

    models--org--name/blobs/<hash>                 a file, named by its hash
    models--org--name/blobs/<hash>.part            as much of it as has come
    models--org--name/snapshots/<commit>/<name>    a link to its blob
    models--org--name/refs/<revision>              a commit
    models--org--name/removed/<commit>.<model>     a snapshot on its way out (`removals.py`)

What the Hub gives to everybody is in one cache for all; what it gives to some, in one for each of them: that somebody else has access
is for the Hub to say.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.conf import settings
from django.contrib.auth.models import User
from filelock import FileLock

from merging.files import BLOBS, SNAPSHOTS
from merging.indexes import INDEX, SINGLE
from webapp.hub.names import COMMIT, REPO, Wanted

PREFIX: Final = "models--"
PART: Final = ".part"
REMOVED: Final = "removed"


@dataclass(frozen=True)
class Place:
    """One model repository in a cache."""

    cache: Path
    repo: str

    @property
    def folder(self) -> Path:
        return self.cache / f"{PREFIX}{self.repo.replace('/', '--')}"

    def snapshot(self, commit: str) -> Path:
        """The folder of a commit."""
        return self.folder / SNAPSHOTS / commit

    def blob(self, digest: str) -> Path:
        """The file of this hash."""
        return self.folder / BLOBS / digest

    def part(self, digest: str) -> Path:
        """As much of it as has come."""
        return self.folder / BLOBS / f"{digest}{PART}"

    def parts(self) -> Iterator[Path]:
        """All files of which some has come."""
        return (self.folder / BLOBS).glob(f"*{PART}")

    def removed(self, mark: str) -> Path:
        """Where a snapshot goes from which it is removed."""
        return self.folder / REMOVED / mark

    @contextmanager
    def kept_still(self, seconds: float = -1) -> Iterator[None]:
        """Nobody removes anything of this repository meanwhile. Timeout when somebody does for longer than that."""
        path = self.lock(REMOVED)
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path, timeout=seconds):
            yield

    def lock(self, digest: str) -> Path:
        """Whoever fetches a file holds this, as the Hub's own library does."""
        return self.cache / ".locks" / self.folder.name / f"{digest}.lock"

    def n_bytes(self, digest: str, size: int) -> int:
        """How many bytes of a file are here; all of them when it is whole."""
        if self.blob(digest).is_file():
            return size
        part = self.part(digest)
        return min(part.stat().st_size, size) if part.is_file() else 0

    def put(self, commit: str, name: str, digest: str) -> None:
        """Make a blob a file of a commit."""
        pointer = self.snapshot(commit) / name
        pointer.parent.mkdir(parents=True, exist_ok=True)
        if not pointer.exists():
            beside = pointer.with_name(f".{name}.{os.getpid()}")
            beside.unlink(missing_ok=True)
            beside.symlink_to(os.path.relpath(self.blob(digest), pointer.parent))
            beside.replace(pointer)

    def remember(self, revision: str, commit: str) -> None:
        """That this is what a branch or tag stood for."""
        ref = self.folder / "refs" / revision
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(commit, "utf-8")

    def commit_of(self, revision: str) -> str | None:
        """What a revision stood for when it was fetched; None when nobody knows."""
        if COMMIT.fullmatch(revision):
            return revision
        try:
            found = (self.folder / "refs" / (revision or "main")).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return None
        return found if COMMIT.fullmatch(found) else None

    def is_whole(self, commit: str) -> bool:
        """Whether a snapshot has a configuration and weights; what else it should have only the Hub can say."""
        folder = self.snapshot(commit)
        return (folder / "config.json").exists() and any((folder / name).exists() for name in (SINGLE, INDEX))


def common_cache() -> Path:
    """For what everybody may have: an existing cache, or one in the data folder."""
    return Path(settings.HUB_CACHE)


def own_cache(user: User) -> Path:
    """For what the Hub gives to this user; the same as for data sets."""
    return Path(settings.DATA_DIR) / "hub" / f"user-{user.pk}" / "hub"


def room(cache: Path) -> int:
    """Bytes that are free on the disk of a cache, which need not be there yet."""
    while not cache.exists():
        cache = cache.parent
    return shutil.disk_usage(cache).free


def cached(cache: Path) -> Iterator[Wanted]:
    """The models of a cache that look whole, each at the commit that its main branch stood for, or at any."""
    for folder in sorted(cache.glob(f"{PREFIX}*--*")) if cache.is_dir() else ():
        repo = folder.name.removeprefix(PREFIX).replace("--", "/", 1)
        if not REPO.fullmatch(repo):
            continue
        place = Place(cache, repo)
        commits = [place.commit_of("") or "", *sorted(path.name for path in folder.glob(f"{SNAPSHOTS}/*"))]
        whole = [commit for commit in commits if COMMIT.fullmatch(commit) and place.is_whole(commit)]
        if whole:
            yield Wanted(repo, whole[0])
