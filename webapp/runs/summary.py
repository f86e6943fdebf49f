"""The head of the live page in numbers: how far, how good, how long still, what is computed now, what failed and why. Reads rows only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.contrib.auth.models import User
from django.db.models import Count, Max, Min

from webapp.runs import listing, versions
from webapp.runs.models import ENDED, Evaluation, Run
from webapp.sharing.access import runs_of

RECENT: Final = 30
"""Finished evaluations from which the speed is taken."""


@dataclass(frozen=True)
class Failure:
    """Candidates that failed for one reason, and what one of them said."""

    kind: str
    n: int
    example: str


@dataclass(frozen=True)
class Summary:
    """A run in numbers. `left` is an estimate of the time that remains; None when there is nothing to estimate from.
    `is_known_to_nobody`: every worker that reports is of another version than the run.

    `rivals` are the random searches that it is compared with, `rival_of` the run that it is a random search for; both only where whoever
    looks may see them.
    """

    row: listing.Row
    n_failed: int
    generation: int | None
    left: timedelta | None
    current: list[Evaluation]
    failures: list[Failure]
    rivals: list[listing.Row]
    is_known_to_nobody: bool
    rival_of: Run | None

    @property
    def n_generations(self) -> int:
        return 0 if self.generation is None else self.generation + 1

    @property
    def has_ended(self) -> bool:
        return self.row.run.state in ENDED


def summary(run: Run, user: User) -> Summary:
    """The summary of `run` as its rows stand, for this person."""
    visible = runs_of(user)
    row, *rivals = listing.rows([run, *visible.filter(baseline_of=run).order_by("created")], with_curves=False)
    failures = _failures(run)
    newest, known_to_nobody = (
        Run.objects.filter(pk=run.pk)
        .annotate(newest=Max("generations__number"), known_to_nobody=versions.known_to_nobody(run))
        .values_list("newest", "known_to_nobody")
        .get()
    )
    return Summary(
        row=row,
        n_failed=sum(failure.n for failure in failures),
        generation=newest,
        left=_left(run, row.n_scored),
        current=list(run.evaluations.filter(status="leased").select_related("candidate").defer("candidate__recipe")),
        failures=failures,
        rivals=rivals,
        is_known_to_nobody=known_to_nobody,
        rival_of=visible.filter(pk=run.baseline_of_id).first() if run.baseline_of_id else None,
    )


def time_left(finished: Sequence[datetime], n_left: int) -> timedelta | None:
    """How long `n_left` evaluations take at the pace of those that finished at these times, newest first."""
    if n_left < 1 or len(finished) < 2:
        return None
    return (finished[0] - finished[-1]) / (len(finished) - 1) * n_left


def _left(run: Run, n_through: int) -> timedelta | None:
    if run.state != "running":
        return None
    through = Evaluation.objects.filter(run=run, split="search", candidate__kind="evolved", finished__isnull=False)
    finished = list(through.order_by("-finished").values_list("finished", flat=True)[:RECENT])
    return time_left([at for at in finished if at], run.budget - n_through)


def _failures(run: Run) -> list[Failure]:
    failed = run.evaluations.filter(status="failed").exclude(split="probe").order_by()
    kinds = failed.values("failure_kind").annotate(n=Count("id"), example=Min("failure")).order_by("-n", "failure_kind")
    return [Failure(row["failure_kind"], row["n"], row["example"]) for row in kinds]
