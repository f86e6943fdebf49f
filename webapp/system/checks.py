"""Whether this installation is well: database, queue, workers, ledger, disk. Asks, never changes; every answer has a time limit."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError
from redis import RedisError

from webapp.runs.invariants import INVARIANTS, Violation, violations
from webapp.system import servers
from webapp.system.status import Seen, is_starting, workers

State = Literal["ok", "warning", "failing"]
RESERVE_BYTES: Final = 2 * 10**9
BUSY: Final = 0.9
"""Share of the connections in use from which on it is said."""
LEDGER_SECONDS: Final = 60
"""How long an answer about the ledger serves: a probe that comes every few seconds must cost nothing."""


@dataclass(frozen=True)
class Check:
    """One thing that must be well. `advice` says what it means when it is not, and what to do."""

    name: str
    state: State
    found: str
    advice: str = ""


def checks() -> list[Check]:
    """All of them, the most important one first. Without the database only what can be known without it."""
    first = database()
    if first.state == "failing":
        return [first, queue(), disk()]
    return [first, queue(), someone_works(workers()), ledger(), disk()]


def database() -> Check:
    """Does Postgres answer, and does it keep what it is told?"""
    try:
        found = servers.postgres()
    except DatabaseError as error:
        advice = "Nothing works without it. Start Postgres again; all else goes on by itself then."
        return Check("Database", "failing", first_line(error), advice)
    words = f"Postgres {found.version}, {found.n_connections} of {found.max_connections} connections in use"
    faults = found.faults()
    if found.n_connections > BUSY * found.max_connections:
        faults.append("Pages wait when there are no connections left. Set max_connections higher")
    return Check("Database", "warning" if faults else "ok", words, " ".join(f"{fault}." for fault in faults))


def queue() -> Check:
    """Does Redis or Valkey answer, and does it keep what it is told?"""
    try:
        found = servers.queue()
    except RedisError as error:
        advice = "Runs go on, but slower, and pages ask every few seconds instead of being told. Start Valkey again."
        return Check("Queue", "failing", first_line(error), advice)
    faults = found.faults()
    state: State = "warning" if faults else "ok"
    return Check("Queue", state, f"{found.name} {found.version}", " ".join(f"{fault}." for fault in faults))


def someone_works(seen: Sequence[Seen]) -> Check:
    """Is there a worker that takes work?"""
    if n_ready := sum(one.takes_work for one in seen):
        return Check("Workers", "ok", f"{n_ready} ready")
    if is_starting(seen):
        advice = "Runs wait until a worker has loaded. This takes a minute at most."
        return Check("Workers", "warning", "starting", advice)
    if n_drained := sum(one.alive for one in seen):
        advice = "Runs wait. Under Workers, let one of them take work again."
        return Check("Workers", "warning", f"{n_drained} drained", advice)
    advice = "Runs wait in the queue. ./progeny up starts a worker, ./progeny worker another."
    return Check("Workers", "failing", "none is reporting", advice)


def ledger() -> Check:
    """Does every count add up? Answered anew once a minute."""
    try:
        broken = broken_invariants()
    except DatabaseError as error:
        advice = "Nothing is known to be wrong, but this could not be asked. If it stays so, see the log."
        return Check("Ledger", "warning", f"not checked: {first_line(error)}", advice)
    if not broken:
        return Check("Ledger", "ok", f"all {len(INVARIANTS)} invariants hold")
    names = ", ".join(f"{violation.name} ({violation.count})" for violation in broken)
    advice = "Results may be lost or counted twice, which is a defect of Progeny. Make a backup, then look with ./progeny fsck."
    return Check("Ledger", "failing", f"broken: {names}", advice)


def broken_invariants() -> list[Violation]:
    """What does not hold, as of a minute ago at most; DatabaseError when it cannot be asked."""
    found: list[Violation] | None = cache.get("system.violations")
    if found is None:
        found = violations()
        cache.set("system.violations", found, LEDGER_SECONDS)
    return found


class DiskUsage(NamedTuple):
    """In bytes."""

    total: int
    free: int


def disk_usage() -> DiskUsage | None:
    """Of the disk with the data folder; None when there is no such folder, as when its disk is not mounted."""
    try:
        total, _, free = shutil.disk_usage(settings.DATA_DIR)
    except FileNotFoundError:
        return None
    return DiskUsage(total, free)


def disk() -> Check:
    """Is there room in the data folder?"""
    folder = Path(settings.DATA_DIR)
    usage = disk_usage()
    if usage is None:
        return Check("Disk", "failing", f"no data folder at {folder}", "Mount it, or put it back from a backup.")
    found = f"{usage.free / 1e9:.1f} GB free of {usage.total / 1e9:.1f} GB"
    if usage.free < RESERVE_BYTES:
        return Check("Disk", "warning", found, f"Models for download need room. Free some space where {folder} lies.")
    return Check("Disk", "ok", found)


def first_line(error: Exception) -> str:
    """What an error says, short enough for a card."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
