"""The workers as people see them: what each does just now, what was lost with one, and how another joins.

Whose run it is matters: of a run that somebody may not see they hear that there is work, and no more.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models.functions import Now

from webapp.leases import MAX_ATTEMPTS
from webapp.runs.models import Attempt, Evaluation, Run
from webapp.sharing.access import runs_of
from webapp.store.models import Stock
from webapp.system.models import Worker
from webapp.system.status import Seen, workers

N_LATEST: Final = 1000
"""How many claims back lost work is looked for."""
RECENT: Final = timedelta(hours=1)
N_LOSSES: Final = 10
N_STOCKS: Final = 20


@dataclass(frozen=True)
class Member:
    """A worker and its current work. `run` is None where it has none, or one that this person may not see (`is_hidden`)."""

    seen: Seen
    stage: str
    done: int
    total: int
    run: Run | None
    is_hidden: bool

    @property
    def state(self) -> str:
        """A word for what it is about: silent, refused (for its version), starting, draining (it finishes what it has), drained, working
        or ready.
        """
        worker = self.seen.worker
        if not self.seen.alive:
            return "silent"
        if worker.refused:
            return "refused"
        if worker.drained is not None:
            return "draining" if worker.activity else "drained"
        return "starting" if not worker.ready else "working" if worker.activity else "ready"


@dataclass(frozen=True)
class Loss:
    """Work that a worker took and did not finish, and what became of it since."""

    worker: str
    evaluation: Evaluation
    is_held: bool

    @property
    def follows(self) -> str:
        """What happens next."""
        evaluation, n = self.evaluation, self.evaluation.attempts
        if self.is_held:
            return f"This was attempt {n} of {MAX_ATTEMPTS}. It goes back to the queue within a minute, or fails if it was the last."
        if evaluation.status == "leased":
            return f"{evaluation.lease_owner} is at it: attempt {n} of {MAX_ATTEMPTS}."
        if evaluation.status == "pending":
            return f"It waits for a worker: attempt {n + 1} of {MAX_ATTEMPTS}."
        return {"done": "It was computed again since.", "failed": f"It failed after {n} attempts."}.get(
            evaluation.status, "It is no longer wanted."
        )


def crew(user: User) -> list[Member]:
    """Every worker that has not stopped, the latest seen first."""
    seen = workers()
    runs = _runs_at_work(user, seen)
    return [_member(one, runs) for one in seen]


def losses(user: User, members: Sequence[Member]) -> list[Loss]:
    """What silent workers hold, and what was lost within the hour, of runs that this person may see; the latest first."""
    silent = [one.seen.worker.name for one in members if not one.seen.alive]
    related = ("run", "candidate")
    runs = runs_of(user)
    held = Evaluation.objects.filter(status="leased", lease_owner__in=silent, run__in=runs).select_related(*related)
    found = [Loss(row.lease_owner, row, is_held=True) for row in held[:N_LOSSES]]
    latest = Attempt.objects.order_by("-token").values("pk")[:N_LATEST]
    lost = Attempt.objects.filter(pk__in=latest, outcome="lost", ended__gt=Now() - RECENT, evaluation__run__in=runs)
    attempts = lost.select_related(*(f"evaluation__{name}" for name in related)).order_by("-token")
    return found + [Loss(one.worker, one.evaluation, is_held=False) for one in attempts[:N_LOSSES]]


def drain(name: str, takes_work: bool) -> bool:
    """Let a worker take nothing new, or take work again. False when it is no more."""
    return Worker.objects.filter(pk=name, stopped=None).update(drained=None if takes_work else Now()) == 1


def join_command() -> str:
    """What prints the command by which another machine's workers join. It is typed on the server: what it prints is a secret."""
    return "./progeny invite" if os.environ.get("DATABASE_URL") else f"./progeny invite --data {settings.DATA_DIR}"


def on_their_way() -> list[Stock]:
    """Models and questions that workers on other hosts asked for and that are not in the store yet, what failed first."""
    return list(Stock.objects.exclude(status="done").order_by("-failure_kind", "created")[:N_STOCKS])


def _runs_at_work(user: User, seen: Sequence[Seen]) -> Mapping[str, Run]:
    """By their ids as rows of workers have them."""
    ids = [UUID(one.worker.activity["run"]) for one in seen if one.worker.activity.get("run")]
    return {str(run.pk): run for run in runs_of(user).filter(pk__in=ids)} if ids else {}


def _member(seen: Seen, runs: Mapping[str, Run]) -> Member:
    activity: dict[str, Any] = seen.worker.activity
    run = runs.get(activity.get("run", ""))
    return Member(
        seen=seen,
        stage=str(activity.get("stage", "")),
        done=int(activity.get("done", 0)),
        total=int(activity.get("total", 0)),
        run=run,
        is_hidden=bool(activity.get("run")) and run is None,
    )
