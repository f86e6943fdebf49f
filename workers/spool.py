"""Finished results that the database has not taken yet: files in the data folder, until they are accepted or fenced.

Whoever looks after this data folder may deliver them, also after the worker that computed them was killed. A file is complete or absent.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from uuid import UUID

from django.conf import settings

from merging.folders import flush
from webapp.leases import LEASE

SUFFIX: Final = ".json"
PART: Final = ".part"
ABANDONED_SECONDS: Final = 2 * LEASE.total_seconds()
"""To write a result takes a moment."""


@dataclass(frozen=True)
class Kept:
    """What the device answered to the claim with this token, of a run of this database or of another."""

    run_id: UUID
    token: int
    answer: dict[str, Any]

    @classmethod
    def read(cls, file: Path) -> Self:
        """What `keep` wrote; ValueError or KeyError for another file, FileNotFoundError when somebody else has delivered it."""
        found = json.loads(file.read_text(encoding="utf-8"))
        return cls(UUID(found["run"]), int(found["token"]), dict(found["answer"]))


def folder() -> Path:
    """Where results wait."""
    return Path(settings.DATA_DIR) / "results"


def keep(kept: Kept) -> None:
    """Write it down so that it survives this process and a power cut; OSError when that cannot be."""
    place = folder()
    place.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"run": str(kept.run_id), "token": kept.token, "answer": kept.answer})
    part = place / f"{kept.token}{PART}"
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.rename(place / f"{kept.token}{SUFFIX}")
    finally:
        part.unlink(missing_ok=True)
    flush(place)


def waiting() -> list[Path]:
    """The files that wait, in the order of their tokens. Asks for nothing but the folder's list."""
    try:
        names = os.listdir(folder())
    except FileNotFoundError:
        return []
    tokens = sorted(int(name.removesuffix(SUFFIX)) for name in names if name.removesuffix(SUFFIX).isdecimal())
    return [folder() / f"{token}{SUFFIX}" for token in tokens]


def sweep() -> int:
    """Remove what workers that were killed have left half written; how many files. Nothing younger than two leases is touched."""
    oldest, n_removed = time.time() - ABANDONED_SECONDS, 0
    for part in folder().glob(f"*{PART}"):
        with suppress(FileNotFoundError):  # somebody else sweeps too
            if part.stat().st_mtime < oldest:
                part.unlink()
                n_removed += 1
    return n_removed
