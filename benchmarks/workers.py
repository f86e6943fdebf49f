"""What several workers are worth, through the product's own ledger, Celery and services.

    .venv/bin/python -m benchmarks.workers waiting [N_WORKERS ...]     devices that only wait: who is idle while there is work
    .venv/bin/python -m benchmarks.workers demo [REPEATS]              the demo pack's models, one worker and two, each on a core of its own

All in one session, on services of their own, on a temporary data folder. Times are read from the rows: of the search alone, from the first
claim of an evolved candidate to the last result of one.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import django

if TYPE_CHECKING:
    from webapp.runs.models import Run

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 300
WAITING_SECONDS = "1.0"
WAITING_BUDGET = 60
DEMO_BUDGET = 60


@dataclass(frozen=True)
class Found:
    """Of one search: seconds it took, evaluations in that time, and seconds of workers that were busy, idle, and idle while something that
    they could have claimed was pending. `first_claims`: seconds from the launch to each worker's first claim.
    """

    n_workers: int
    seconds: float
    n_evaluations: int
    busy: float
    idle_beside_work: float
    first_claims: tuple[float, ...]

    @property
    def per_minute(self) -> float:
        return 60 * self.n_evaluations / self.seconds

    @property
    def in_all(self) -> float:
        return self.n_workers * self.seconds


def waiting(counts: Sequence[int]) -> None:
    """Rows of a table, for each number of workers, with whole generations and in steady state."""
    print(
        "| workers | generations | search | evaluations a minute | busy | idle beside work | last worker's first claim |"
    )
    print("|---:|---|---:|---:|---:|---:|---:|")
    for n_workers in counts:
        with working(n_workers, application="benchmarks.waiting", WAITING_SECONDS=WAITING_SECONDS):
            for steady in (False, True):
                found = measured(n_workers, WAITING_BUDGET, steady)
                print(
                    f"| {n_workers} | {'steady' if steady else 'whole'} | {found.seconds:.1f} s | {found.per_minute:.0f} "
                    f"| {found.busy / found.in_all:.1%} | {found.idle_beside_work / found.in_all:.1%} | {max(found.first_claims):.2f} s |",
                    flush=True,
                )


def demo(repeats: int) -> None:
    """One worker and two in turn, and the ratio of what they get done."""
    print("| worker(s) | search | evaluations a minute | load average before |\n|---:|---:|---:|---:|")
    pace: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(repeats):
        for n_workers, found_paces in pace.items():
            load = os.getloadavg()[0]
            with working(n_workers, cores=True):
                found = measured(n_workers, DEMO_BUDGET)
            found_paces.append(found.per_minute)
            print(f"| {n_workers} | {found.seconds:.1f} s | {found.per_minute:.1f} | {load:.1f} |", flush=True)
    ratios = [two / one for one, two in zip(pace[1], pace[2], strict=True)]
    print(
        f"\nTwo against one: {', '.join(f'{ratio:.2f}' for ratio in ratios)}; median {statistics.median(ratios):.2f}."
    )


@contextmanager
def working(
    n_workers: int, application: str = "workers.celery", cores: bool = False, **environment: str
) -> Iterator[None]:
    """So many workers, ready, until the end of the block; with `cores`, each on a core and with one thread."""
    from django.conf import settings

    from webapp.system.models import Worker
    from webapp.system.processes import Child
    from webapp.system.programs import worker_commands

    Worker.objects.all().delete()
    first, logs = worker_commands()[0], Path(settings.DATA_DIR) / "logs"
    children = []
    for number in range(n_workers):
        words = [word.replace("workers.celery", application) for word in first.words]
        words[words.index("--hostname") + 1] = f"bench{number}@%h"
        pinned = ("/usr/bin/taskset", "-c", str(number)) if cores else ()
        one_thread = {"OMP_NUM_THREADS": "1"} if cores else {}
        command = replace(
            first, words=(*pinned, *words), environment={**first.environment, **environment, **one_thread}
        )
        children.append(Child(command, logs / f"bench{number}.log"))
    try:
        until(lambda: Worker.objects.filter(ready=True, stopped=None).count() == n_workers)
        yield
    finally:
        for child in children:
            child.ask_to_end()
        for child in children:
            child.stop()


def measured(n_workers: int, budget: int, steady: bool = False) -> Found:
    """A run on the demo pack, from its launch to the end of its search."""
    from webapp.runs.models import ENDED

    run = launched(budget, steady)
    until(lambda: type(run).objects.get(pk=run.pk).state in (*ENDED, "finishing", "paused"))
    run.refresh_from_db()
    found = _found(run, n_workers)
    until(lambda: type(run).objects.get(pk=run.pk).state in ENDED)
    run.refresh_from_db()
    if run.state != "done":
        raise RuntimeError(f"the run is {run.state}: {run.message}")
    return found


def launched(budget: int, steady: bool) -> Run:
    """A run like the quick look's."""
    from webapp.accounts.setup import local_user
    from webapp.library.models import Benchmark, Parent
    from webapp.runs import actions
    from webapp.runs.launching.named import Names, plan_named
    from webapp.runs.launching.presets import QUICK

    owner = local_user()
    names = Names(
        lambda name: Parent.objects.visible_to(owner).get(name=name),
        lambda name: Benchmark.objects.visible_to(owner).get(name=name),
    )
    planned, _ = plan_named(replace(QUICK, budget=budget, steady=steady), names)
    return actions.launch(owner, planned.config, "measured", uuid4().hex)


def _found(run: Run, n_workers: int) -> Found:
    from webapp.runs.models import Attempt

    search = run.evaluations.filter(split="search", candidate__kind="evolved", status="done")
    attempts = Attempt.objects.filter(evaluation__run=run).select_related("evaluation")
    begin = min(attempt.started for attempt in attempts.filter(evaluation__in=search))
    end = max(evaluation.finished for evaluation in search if evaluation.finished)
    span = (begin, end)
    busy = [_within(span, attempt.started, attempt.ended or end) for attempt in attempts]
    claimed = {attempt.evaluation_id: attempt.started for attempt in reversed(attempts)}
    pending = [
        _within(span, evaluation.created, claimed.get(evaluation.pk, end))
        for evaluation in run.evaluations.exclude(split="final")
        if evaluation.created < end
    ]
    firsts: dict[str, datetime] = {}
    for attempt in attempts:
        firsts[attempt.worker] = min(attempt.started, firsts.get(attempt.worker, attempt.started))
    return Found(
        n_workers=n_workers,
        seconds=(end - begin).total_seconds(),
        n_evaluations=sum(begin <= (evaluation.finished or begin) <= end for evaluation in run.evaluations.filter(status="done")),
        busy=sum((after - before).total_seconds() for before, after in busy),
        idle_beside_work=_idle_beside_work(n_workers, busy, pending),
        first_claims=tuple((first - run.created).total_seconds() for first in firsts.values()),
    )  # fmt: skip


Span = tuple[datetime, datetime]


def _within(span: Span, begin: datetime, end: datetime) -> Span:
    first = min(max(begin, span[0]), span[1])
    return first, min(max(end, first), span[1])


def _idle_beside_work(n_workers: int, busy: Sequence[Span], pending: Sequence[Span]) -> float:
    """Seconds of workers: at every moment as many as were idle, but no more than there was work to claim."""
    changes = sorted(
        [(t, step, 0) for begin, end in busy for t, step in ((begin, 1), (end, -1))]
        + [(t, 0, step) for begin, end in pending for t, step in ((begin, 1), (end, -1))]
    )
    n_busy = n_pending = 0
    idle = 0.0
    for (now, busier, more), (then, _, _) in pairwise([*changes, (changes[-1][0], 0, 0)]):
        n_busy, n_pending = n_busy + busier, n_pending + more
        idle += (then - now).total_seconds() * max(0, min(n_workers - n_busy, n_pending))
    return idle


def until(condition: object) -> None:
    """Wait for it; RuntimeError after minutes."""
    deadline = time.monotonic() + READY_SECONDS
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise RuntimeError("waited in vain: look into the logs of the data folder")
        time.sleep(0.05)


def main(words: Sequence[str]) -> None:
    """Start services, measure, stop them."""
    from webapp.system.services import ensure_services

    with ensure_services(lambda said: print(said, file=sys.stderr)):
        if words[:1] == ["demo"]:
            demo(int(words[1]) if words[1:] else 2)
        else:
            waiting([int(word) for word in words[1:]] or [2, 4, 8])


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
    with tempfile.TemporaryDirectory(prefix="progeny-workers-") as folder:
        os.chmod(folder, 0o755)
        os.environ["PROGENY_DATA"] = folder
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        django.setup()
        main(sys.argv[1:])
