"""Claims of trials: like exports, but of no run, with a result that is kept in the row.

Whose lease ran out is claimed again, or given up after too many attempts, by whoever looks for a trial next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from webapp.leases import MAX_ATTEMPTS
from webapp.trials.models import Trial
from workers import failures, texts
from workers.failures import Failure
from workers.ledger.claims import LEASE, Lease

_CLAIM: Final = """
  WITH chosen AS MATERIALIZED (
       SELECT id FROM trials_trial
        WHERE status = 'pending' OR (status = 'leased' AND lease_until < clock_timestamp())
        ORDER BY created, id LIMIT 1 FOR UPDATE SKIP LOCKED)
UPDATE trials_trial t
   SET status = 'leased', attempts = t.attempts + 1, lease_token = nextval('lease_seq'), lease_owner = %s,
       lease_until = clock_timestamp() + make_interval(secs => %s), stage = ''
  FROM chosen WHERE t.id = chosen.id
RETURNING t.id, t.lease_token
"""


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
    return Trial.objects.filter(Q(status="pending") | _expired())


def claim_trial(worker: str) -> TrialClaim | None:
    """Lease the trial that has waited longest. One that has ended workers too often is given up."""
    for spent in Trial.objects.filter(_expired(), attempts__gte=MAX_ATTEMPTS):
        lost = f"worker {spent.lease_owner} did not report: it was killed, froze or lost the database"
        ended = Trial.objects.filter(_expired(), pk=spent.pk, lease_token=spent.lease_token)
        _fail(ended, Failure("worker", failures.POISON, failures.poison(spent.attempts, f"{lost}.")))
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [worker, LEASE.total_seconds()])
        row = cursor.fetchone()
    if row is None:
        return None
    trial = Trial.objects.filter(pk=row[0]).first()
    if trial is None:  # its owner forgot it just now
        return None
    return TrialClaim(Lease(Trial, *row), trial.pk, trial.recipe, trial.benchmarks, trial.n_questions)


def report_trial(claim: TrialClaim, stage: str) -> None:
    """Show how far it is. Nothing happens when the lease is lost."""
    _held(claim).update(stage=stage)


def finish_trial(claim: TrialClaim, result: list[dict[str, Any]], seconds: float) -> bool:
    """Keep what came of it. False when fenced."""
    found = {"result": texts.clean_json(result), "seconds": seconds, "finished": Now(), "stage": ""}
    return _held(claim).update(status="done", lease_until=None, **found) == 1


def fail_trial(claim: TrialClaim, failure: Failure) -> bool:
    """It cannot be carried out, and why. False when fenced."""
    return _fail(_held(claim), failure) == 1


def give_back_trial(claim: TrialClaim, failure: Failure | None = None) -> bool:
    """Not done after all: pending again, or failed when this was the third failure of a worker."""
    held = _held(claim)
    if failure is None:
        return held.update(status="pending", lease_until=None, stage="", attempts=F("attempts") - 1) == 1
    if held.filter(attempts__lt=MAX_ATTEMPTS).update(status="pending", lease_until=None, stage="") == 1:
        return True
    return _fail(held, Failure("worker", failures.POISON, failures.poison(MAX_ATTEMPTS, failure.sentence))) == 1


def _expired() -> Q:
    return Q(status="leased", lease_until__lt=Now())


def _held(claim: TrialClaim) -> QuerySet[Trial]:
    return Trial.objects.filter(pk=claim.trial_id, status="leased", lease_token=claim.lease.token)


def _fail(held: QuerySet[Trial], failure: Failure) -> int:
    return held.update(
        status="failed",
        lease_until=None,
        finished=Now(),
        stage="",
        failure_kind=failure.kind,
        failure=texts.clean(failure.sentence),
    )
