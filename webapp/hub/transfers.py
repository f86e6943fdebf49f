"""One file of the Hub onto this machine's disk: from where it ends, with patience, and checked by its hash.

The Hub's own library begins a file anew whenever its process ends; files of 5 GB are worth going on with.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from filelock import FileLock, Timeout

from merging.folders import flush
from webapp.hub.client import Asking
from webapp.hub.errors import HubError
from webapp.hub.looks import Look, Needed
from webapp.hub.places import Place

PAUSES: Final = (1.0, 3.0, 10.0, 30.0, 60.0, 60.0, 60.0, 60.0)
"""Seconds between one failure and the next try, as long as not one byte comes; then it is given up."""
TOLD_SECONDS: Final = 1.0
HASH_BYTES: Final = 8 * 1024 * 1024


class Stopped(Exception):
    """Nobody wants it any more."""


class Heard:
    """Hears how far it is. `write` keeps that somewhere, at most once in `TOLD_SECONDS` and when the words change."""

    def __init__(self) -> None:
        self.n_done = 0
        self._stage, self._told = "", 0.0

    def write(self, stage: str) -> None:
        """Keep it; Stopped when nobody wants it any more."""

    def stage(self, words: str) -> None:
        """What is being done now."""
        self._stage, self._told = words, time.monotonic()
        self.write(words)

    def bytes(self, n: int) -> None:
        """So many more are here; fewer than nothing when some were worth nothing."""
        self.n_done += n
        if time.monotonic() - self._told >= TOLD_SECONDS:
            self.stage(self._stage)

    def wait(self, seconds: float, why: str) -> None:
        """Do nothing for a while."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.stage(f"{why} Tries again in {left:.0f} s.")
            time.sleep(min(left, TOLD_SECONDS))


def fetch_file(asking: Asking, found: Look, file: Needed, place: Place, heard: Heard) -> None:
    """Bring a file of a commit into the cache, unless it is there. HubError when it does not come, or comes damaged twice."""
    if not place.blob(file.digest).is_file():
        before = place.n_bytes(file.digest, file.n_bytes)
        with _alone(place, file, heard):
            heard.bytes(
                place.n_bytes(file.digest, file.n_bytes) - before
            )  # of which somebody else may have fetched more
            if not place.blob(file.digest).is_file():
                _fetch(asking, found, file, place, heard)
    place.put(found.commit, file.name, file.digest)


def _fetch(asking: Asking, found: Look, file: Needed, place: Place, heard: Heard) -> None:
    part, digest = place.part(file.digest), ""
    part.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(2):
        _receive(asking, found, file, part, heard)
        heard.stage(f"checking {file.name}")
        if (digest := _digest(part, file, heard)) == file.digest:
            flush(part)
            part.replace(place.blob(file.digest))
            return
        heard.bytes(-file.n_bytes)
        part.unlink()
    raise HubError(
        "damaged",
        f"{file.name} came damaged, twice: its hash is {digest}, and the Hub says {file.digest}. Try again later.",
    )


@contextmanager
def _alone(place: Place, file: Needed, heard: Heard) -> Iterator[None]:
    """Nobody else fetches this file meanwhile: another process of ours, or the Hub's own library, which has the same locks."""
    path = place.lock(file.digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    while not lock.is_locked:
        try:
            lock.acquire(timeout=TOLD_SECONDS)
        except Timeout:
            heard.stage(f"{file.name} is being fetched for somebody else here; waits for it")
    try:
        yield
    finally:
        lock.release()


def _receive(asking: Asking, found: Look, file: Needed, part: Path, heard: Heard) -> None:
    """All bytes of a file into its part, however often the connection ends."""
    n_failures = 0
    with part.open("ab") as written:
        while (before := written.tell()) < file.n_bytes:
            heard.stage(f"fetching {file.name}")
            try:
                _go_on(asking, found, file, written, heard)
            except HubError as error:
                n_failures = 0 if written.tell() > before else n_failures + 1
                if not error.is_passing or n_failures >= len(PAUSES):
                    raise
                heard.wait(max(error.wait, PAUSES[max(0, n_failures - 1)]), str(error))
            else:
                if written.tell() <= before:
                    raise HubError("broken", f"The Hub sends nothing of {file.name}. Try again later.")


def _go_on(asking: Asking, found: Look, file: Needed, written: BinaryIO, heard: Heard) -> None:
    """As much as comes of one answer."""
    start = written.tell()
    with asking.file(found.wanted.repo, found.commit, file.name, f"bytes={start}-") as answer:
        if start and answer.status_code != 206:  # it does not know ranges and begins anew
            written.truncate(0)
            heard.bytes(-start)
        for block in answer.iter_bytes():
            if written.tell() + len(block) > file.n_bytes:
                raise HubError(
                    "damaged", f"The Hub sends more of {file.name} than the {file.n_bytes} bytes that it has."
                )
            written.write(block)
            heard.bytes(len(block))
    written.flush()


def _digest(part: Path, file: Needed, heard: Heard) -> str:
    """What the Hub's cache would call it."""
    is_large = len(file.digest) == 2 * hashlib.sha256().digest_size
    whole = hashlib.sha256() if is_large else hashlib.sha1(b"blob %d\0" % file.n_bytes, usedforsecurity=False)
    with part.open("rb") as read:
        while block := read.read(HASH_BYTES):
            whole.update(block)
            heard.bytes(0)
    return whole.hexdigest()
