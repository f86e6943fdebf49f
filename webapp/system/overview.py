"""What people are told beyond what machines are: what this installation can do, and what limits it.

Reads rows and this machine; asks nobody.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db.models import Sum
from django.db.models.functions import Now

from merging.benchmarks.harness import OFFLINE
from merging.words import counted, joined, size
from webapp.exports.models import Export
from webapp.library.models import Parent
from webapp.system.checks import RESERVE_BYTES, Check, checks, disk_usage
from webapp.system.models import Worker
from webapp.system.status import Seen, workers

WEEK: Final = timedelta(days=7)
FEW_BYTES: Final = 1.5e9
"""Of memory: with less than this free, the demo itself may not fit."""
DEMO: Final = "demo/"


def overview() -> list[Check]:
    """Every check for people, those for machines first. Without the database only what can be known without it."""
    found = [_with_projection(check) if check.name == "Disk" else check for check in checks()]
    if found[0].state == "failing":
        return [*found, machine(), internet()]
    return [*found, devices(workers()), machine(), internet(), demo()]


def sentence(seen: Sequence[Seen]) -> str:
    """What you can do here, by what the workers compute on."""
    taking = [one.worker for one in seen if one.takes_work]
    if not taking:
        return "You can look at runs and prepare new ones; they begin when a worker takes work."
    gpus = [worker for worker in taking if worker.has_gpu]
    if not gpus:
        return (
            "You can run real searches on tiny models, such as those of the demo. Models of billions of parameters need a GPU worker: "
            "how to add one is under Workers."
        )
    return (
        f"You can run searches on {counted(len(gpus), 'GPU')}: {_names(gpus)}. In 16 bits a model takes about 2 GB of a GPU's memory "
        "for each billion of its parameters, besides room for its answers."
    )


def devices(seen: Sequence[Seen]) -> Check:
    """What the workers compute on."""
    alive = [one.worker for one in seen if one.alive and one.worker.device]
    if any(worker.has_gpu for worker in alive):
        return Check("GPU", "ok", _names([worker for worker in alive if worker.has_gpu]))
    if not alive:
        return Check("GPU", "warning", "not known", "A worker says what it has when it has loaded.")
    found = f"none; workers compute on the processor ({_names(alive)})"
    return Check("GPU", "warning", found, "Tiny models only. For larger ones add a GPU worker: see Workers.")


def machine() -> Check:
    """Processor and memory where the web server runs."""
    page = os.sysconf("SC_PAGE_SIZE")
    total, free = (page * os.sysconf(name) for name in ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES"))
    free = max(free, _available())
    found = f"{counted(os.cpu_count() or 1, 'core')}, {size(free)} of {size(total)} of memory free"
    if free < FEW_BYTES:
        advice = (
            "When memory runs out, models are asked in smaller batches or fail. End other programs on this machine."
        )
        return Check("Processor and memory", "warning", found, advice)
    return Check("Processor and memory", "ok", found)


def internet() -> Check:
    """Whether the Hub may be asked. It is not asked here: without a network that would take long."""
    if settings.OFFLINE:
        switches = joined(["PROGENY_OFFLINE", *OFFLINE])
        advice = f"Nothing is fetched; everything that is on this machine works. Unset {switches} and start again to go online."
        return Check("Internet", "warning", "offline mode is on", advice)
    return Check(
        "Internet",
        "ok",
        "the Hub is asked when somebody looks for a model or fetches one, or a task, and at no other time",
    )


def demo() -> Check:
    """Are the bundled models there, in the rows and on the disk?"""
    folders = list(Parent.objects.filter(owner=None, name__startswith=DEMO).values_list("folder", flat=True))
    n_there = sum(Path(folder).is_dir() for folder in folders)
    if n_there and n_there == len(folders):
        return Check("Demo", "ok", f"{counted(n_there, 'tiny model')} with benchmarks, ready to run")
    found = f"{n_there} of {len(folders)} models are there" if folders else "not installed"
    return Check("Demo", "warning", found, "The quick demo cannot run. ./progeny prepare installs it.")


def _with_projection(disk: Check) -> Check:
    """And when it will be full, should downloads be built as in the last week."""
    recent = Export.objects.filter(status="done", finished__gt=Now() - WEEK).aggregate(n=Sum("n_bytes"))["n"] or 0
    usage = disk_usage()
    if disk.state != "ok" or not recent or usage is None:
        return disk
    a_day = recent / WEEK.days
    days = max(0.0, usage.free - RESERVE_BYTES) / a_day
    if days > 365:
        return disk
    pace = f"at the pace of the last week, {size(round(a_day))} of exports a day, it is full in {counted(round(days), 'day')}"
    found = f"{disk.found}; {pace}"
    if days > WEEK.days:
        return replace(disk, found=found)
    return replace(
        disk, state="warning", found=found, advice="Runs pause when it is full. See what can go under Storage."
    )


def _names(rows: Sequence[Worker]) -> str:
    """Devices with how many there are of each."""
    names = [row.device for row in rows]
    return joined(
        [name if names.count(name) == 1 else f"{names.count(name)} × {name}" for name in dict.fromkeys(names)]
    )


def _available() -> int:
    """Bytes that programs could have, caches given up; 0 where the system does not say so."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), 0)
