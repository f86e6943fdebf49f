"""What the live chart notes beside the scores: pauses, ends of the search, candidates that failed and workers that were lost. Reads rows.

Every list is bounded: of very many notes the newest are shown.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, TypedDict

from django.db.models import QuerySet

from webapp.runs.models import Attempt, Evaluation, Event, Run

MAX_NOTES: Final = 200
"""Of each kind."""
NO_RESULT: Final = ("lost", "hung")
"""Outcomes of attempts whose worker or device process ended without one."""
_STATES: Final = {
    "paused": "paused",
    "running": "resumed",
    "finishing": "final exam",
    "stopped": "stopped",
    "failed": "failed",
}


class Note(TypedDict):
    """`at` is in seconds since the run began. The chart writes a `state` beside its line; the others are signs at the foot."""

    at: float
    kind: Literal["state", "failure", "lost"]
    text: str


def notes_of(run: Run) -> list[Note]:
    """The notes of a run in the order of time."""
    began = run.started or run.created
    return sorted([*_states(run, began), *_failures(run, began), *_lost(run, began)], key=lambda note: note["at"])


def _states(run: Run, began: datetime) -> list[Note]:
    """What changed while it ran: its first start is where the chart begins."""
    told = Event.objects.filter(run=run, kind="run.state").order_by("-seq")
    rows = reversed(told.values_list("payload__state", "created")[:MAX_NOTES])
    found: list[Note] = []
    before = "queued"
    for state, at in rows:
        if state in _STATES and (state, before) != ("running", "queued"):
            found.append(_note(began, at, "state", _STATES[state]))
        before = state
    return found


def _failures(run: Run, began: datetime) -> list[Note]:
    failed = Evaluation.objects.filter(run=run, split="search", status="failed", finished__isnull=False)
    rows = failed.order_by("-finished").values_list("finished", "candidate__name", "failure_kind")[:MAX_NOTES]
    return [_note(began, at, "failure", f"{name} failed: {words(kind)}") for at, name, kind in rows if at]


def _lost(run: Run, began: datetime) -> list[Note]:
    rows = (
        without_result(run).order_by("-token").values_list("ended", "worker", "evaluation__candidate__name")[:MAX_NOTES]
    )
    return [_note(began, at, "lost", f"{worker} gave no result for {name}") for at, worker, name in rows if at]


def _note(began: datetime, at: datetime, kind: Literal["state", "failure", "lost"], text: str) -> Note:
    return {"at": round((at - began).total_seconds(), 2), "kind": kind, "text": text}


def without_result(run: Run) -> QuerySet[Attempt]:
    """The attempts of a run that ended so."""
    return Attempt.objects.filter(evaluation__run=run, outcome__in=NO_RESULT, ended__isnull=False)


def asked_on(split: str) -> str:
    """Whose questions an evaluation asks: those of the search for the full score and for probes, too."""
    return "search" if split in ("full", "probe") else split


def words(failure_kind: str) -> str:
    """`out_of_memory` as people write it."""
    return failure_kind.replace("_", " ")
