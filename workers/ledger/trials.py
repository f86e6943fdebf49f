"""Claims of trials: like exports, but of no run, with a result that is kept in the row.

Whose lease ran out is claimed again, or given up after too many attempts, by whoever looks for a trial next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from webapp.leases import MAX_ATTEMPTS, expired
from webapp.trials.models import Trial
from workers import failures, texts
from workers.failures import Failure
from workers.ledger.claims import Lease, held
from workers.ledger.leases import claim_oldest, fail


@dataclass(frozen=True)
class TrialClaim:
    """One recipe to be asked the first `n_questions` of each of these benchmarks, as they stand in the row."""

    lease: Lease
    trial_id: UUID
    recipe: dict[str, Any]
    benchmarks: list[dict[str, Any]]
    n_questions: int


def waiting() -> QuerySet[Trial]:
    """Trials that a claim would find."""
    return Trial.objects.filter(Q(status="pending") | expired())


def claim_trial(worker: str, only: Sequence[UUID] | None = None) -> TrialClaim | None:
    """Lease the trial that has waited longest, of the person whose turn it is. One that has ended workers too often is given up.

    `only` are the trials whose files this worker has; None is all of them.
    """
    for spent in Trial.objects.filter(expired(), attempts__gte=MAX_ATTEMPTS):
        lost = f"worker {spent.lease_owner} did not report: it was killed, froze or lost the database"
        ended = Trial.objects.filter(expired(), pk=spent.pk, lease_token=spent.lease_token)
        fail(ended, Failure("worker", failures.POISON, failures.poison(spent.attempts, f"{lost}.")))
    lease = claim_oldest(Trial, worker, "stage", only)
    if lease is None:
        return None
    trial = Trial.objects.filter(pk=str(lease.pk)).first()
    if trial is None:  # its owner forgot it just now
        return None
    return TrialClaim(lease, trial.pk, trial.recipe, trial.benchmarks, trial.n_questions)


def report_trial(claim: TrialClaim, stage: str) -> None:
    """Show how far it is. Nothing happens when the lease is lost."""
    held(claim.lease).update(stage=stage)


def finish_trial(claim: TrialClaim, result: list[dict[str, Any]], seconds: float) -> bool:
    """Keep what came of it. False when fenced."""
    found = {"result": texts.clean_json(result), "seconds": seconds, "finished": Now(), "stage": ""}
    return held(claim.lease).update(status="done", lease_until=None, **found) == 1


def fail_trial(claim: TrialClaim, failure: Failure) -> bool:
    """It cannot be carried out, and why. False when fenced."""
    return fail(held(claim.lease), failure) == 1


def give_back_trial(claim: TrialClaim, failure: Failure | None = None) -> bool:
    """Not done after all: pending again, or failed when this was the third failure of a worker."""
    row = held(claim.lease)
    if failure is None:
        return row.update(status="pending", lease_until=None, stage="", attempts=F("attempts") - 1) == 1
    if row.filter(attempts__lt=MAX_ATTEMPTS).update(status="pending", lease_until=None, stage="") == 1:
        return True
    return fail(row, Failure("worker", failures.POISON, failures.poison(MAX_ATTEMPTS, failure.sentence))) == 1
