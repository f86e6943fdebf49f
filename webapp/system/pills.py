"""What the bar of every page says: what computes here, and how much room there is. One query, and none for the next few seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from django.core.cache import cache

from merging.words import counted
from webapp.system.checks import RESERVE_BYTES, disk_usage
from webapp.system.status import Seen, is_starting, workers

KEPT_SECONDS: Final = 5


@dataclass(frozen=True)
class Pill:
    """A few words with their icon, about one thing; `tab` of the System page says more. `tone` is empty while all is well."""

    about: str
    icon: str
    words: str
    tab: str
    tone: Literal["", "warn", "bad"] = ""


def pills() -> list[Pill]:
    """As of a few seconds ago."""
    found: list[Pill] | None = cache.get("system.pills")
    if found is None:
        found = [_of_workers(workers()), _of_disk()]
        cache.set("system.pills", found, KEPT_SECONDS)
    return found


def _of_workers(seen: Sequence[Seen]) -> Pill:
    alive = [one for one in seen if one.alive]
    taking = [one.worker for one in alive if one.takes_work]
    n_gpus = sum(worker.has_gpu for worker in taking)
    if n_gpus:
        return Pill("Workers", "bolt", counted(n_gpus, "GPU"), "workers")
    if taking:
        return Pill("Workers", "bolt", "CPU" if len(taking) == 1 else f"{len(taking)} on CPU", "workers")
    if is_starting(seen):
        return Pill("Workers", "bolt", "starting", "workers", "warn")
    return Pill("Workers", "bolt", "drained" if alive else "no worker", "workers", "warn" if alive else "bad")


def _of_disk() -> Pill:
    usage = disk_usage()
    if usage is None:
        return Pill("Disk", "disk", "no data folder", "health", "bad")
    free = usage.free
    size = (
        f"{free / 1e12:.1f} TB" if free >= 1e12 else f"{free / 1e9:.0f} GB" if free >= 1e10 else f"{free / 1e9:.1f} GB"
    )
    return Pill("Disk", "disk", f"{size} free", "storage", "warn" if free < RESERVE_BYTES else "")
