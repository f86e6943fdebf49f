"""The head of the live page in numbers: how far, how good, how long still, what is computed now, what failed and why. Reads rows only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.contrib.auth.models import User
from django.db.models import Count, Max, Window

from webapp.runs import listing, versions
from webapp.runs.live.notes import words
from webapp.runs.models import ENDED, Candidate, Evaluation, Run
from webapp.sharing.access import runs_of

ADVICE: Final = {
    "out_of_memory": (
        "Start a run like this with smaller models or shorter answers, or use a device with more memory.",
        "new",
    ),
    "poison": ("Look at what the workers report: every try ended without a result.", "system"),
    "disk": ("Make room on the disk of the data folder.", "system"),
    "parent": ("Put the models' files back as they were, or start a run with the models as they are now.", "new"),
    "benchmark": ("Put the benchmark's file back, or start a run with one that can be read.", "new"),
}
"""By the kind of a failure."""
NO_ADVICE: Final = ("Nothing is to be done: the search avoids what is like them.", "")


@dataclass(frozen=True)
class Failure:
    """Candidates that failed for one reason, and what the first of them, `candidate`, said. `advice` is the one thing to do next, `place`
    where it is done: `new` for a run like this with another choice, `system` for the machine, empty for nowhere.
    """

    kind: str
    n: int
    example: str
    candidate: Candidate
    advice: str
    place: str


@dataclass(frozen=True)
class Summary:
    """A run in numbers. `is_known_to_nobody`: every worker that reports is of another version than the run.

    `rivals` are the random searches that it is compared with, `rival_of` the run that it is a random search for; both only where whoever
    looks may see them. `n_before` is that of `Row`, told to the owner alone.
    """

    row: listing.Row
    n_failed: int
    generation: int | None
    current: list[Evaluation]
    failures: list[Failure]
    rivals: list[listing.Row]
    is_known_to_nobody: bool
    rival_of: Run | None
    n_before: int | None

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
        current=list(run.evaluations.filter(status="leased").select_related("candidate").defer("candidate__recipe")),
        failures=failures,
        rivals=rivals,
        is_known_to_nobody=known_to_nobody,
        rival_of=visible.filter(pk=run.baseline_of_id).first() if run.baseline_of_id else None,
        n_before=row.n_before if run.owner_id == user.pk else None,
    )


def _failures(run: Run) -> list[Failure]:
    """One query: the first failure of each kind, and how many there are of it; the most frequent kind first."""
    failed = run.evaluations.filter(status="failed").exclude(split="probe").order_by("failure_kind", "id")
    counted = failed.annotate(n_alike=Window(Count("id"), partition_by="failure_kind")).distinct("failure_kind")
    rows = counted.select_related("candidate").defer("candidate__recipe", "candidate__genome")
    found = [
        Failure(
            words(row.failure_kind), row.n_alike, row.failure, row.candidate, *ADVICE.get(row.failure_kind, NO_ADVICE)
        )
        for row in rows
    ]
    return sorted(found, key=lambda failure: -failure.n)
