"""Taking work: one pending evaluation becomes leased, with a token that every later write must show."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import UUID

from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from psycopg.errors import LockNotAvailable

from webapp.leases import HOLDS, LEASE, Leased
from webapp.runs import transitions, versions
from webapp.runs.models import CLAIMABLE, PROBED, Asked, Attempt, CandidateKind, Evaluation
from workers.failpoints import around, failpoint

log = logging.getLogger(__name__)

# Fair among people, however many runs each has: whoever has the fewest live leases, then who has waited longest for one. Of that person's
# runs the one with the fewest live leases, then whichever is behind. Of a run that has ended only probes are left.
_FAIREST_RUN: Final = f"""
  WITH waiting AS (
       SELECT e.run_id, r.owner_id, min(e.rank) AS rank, min(e.id) AS id
         FROM runs_evaluation e JOIN runs_run r ON r.id = e.run_id
        WHERE e.status = 'pending' AND r.deleted_at IS NULL AND r.algo_version = ANY(%s) AND r.id <> ALL(%s::uuid[])
          AND (%s::uuid[] IS NULL OR r.id = ANY(%s::uuid[])) AND (
              r.state = ANY(%s) AND (e.split <> 'final' OR r.state = 'finishing') OR r.state = ANY(%s) AND e.split = 'probe')
        GROUP BY e.run_id, r.owner_id),
       busy AS (
       SELECT l.run_id, r.owner_id, count(*) AS n FROM runs_evaluation l JOIN runs_run r ON r.id = l.run_id
        WHERE l.status = 'leased' AND l.lease_until {HOLDS} GROUP BY l.run_id, r.owner_id)
SELECT w.run_id FROM waiting w
 ORDER BY (SELECT coalesce(sum(b.n), 0) FROM busy b WHERE b.owner_id = w.owner_id),
          (SELECT max(r.served) FROM runs_run r WHERE r.owner_id = w.owner_id) NULLS FIRST,
          (SELECT coalesce(sum(b.n), 0) FROM busy b WHERE b.run_id = w.run_id),
          w.rank, w.id
 LIMIT 1
"""
_CLAIM: Final = """
  WITH chosen AS MATERIALIZED (
       SELECT id FROM runs_evaluation WHERE run_id = %s AND status = 'pending'
          AND (split = 'probe' OR %s) AND (split <> 'final' OR %s) ORDER BY rank, id LIMIT 1 FOR UPDATE SKIP LOCKED),
       taken AS (
       UPDATE runs_evaluation e
          SET status = 'leased', attempts = e.attempts + 1, lease_token = nextval('lease_seq'), lease_owner = %s,
              lease_until = clock_timestamp() + make_interval(secs => %s)
         FROM chosen WHERE e.id = chosen.id
       RETURNING e.id, e.candidate_id, e.split, e.lease_token, e.attempts),
       attempt AS (
       INSERT INTO runs_attempt (token, evaluation_id, worker, code_version, outcome, error)
       SELECT lease_token, id, %s, %s, '', '' FROM taken),
       turn AS (
       UPDATE runs_run SET served = taken.lease_token FROM taken WHERE runs_run.id = %s)
SELECT taken.id, taken.lease_token, taken.attempts, taken.split,
       c.id, c.name, c.kind, c.index, g.number, c.recipe, g.plan
  FROM taken JOIN runs_candidate c ON c.id = taken.candidate_id LEFT JOIN runs_generation g ON g.id = c.generation_id
"""


@dataclass(frozen=True)
class Lease:
    """A hold on one row, good until `renew` says otherwise. The token fences: a later holder has a greater one."""

    row: type[Leased]
    pk: int | UUID
    token: int


@dataclass(frozen=True)
class Claim:
    """One evaluation to compute, and whose it is. `attempt` counts from 1. `plan` is the generation's; it is for the search split alone."""

    lease: Lease
    run_id: UUID
    config: dict[str, Any]
    evaluation_id: int
    attempt: int
    split: Asked
    candidate_id: int
    name: str
    kind: CandidateKind
    index: int
    generation: int | None
    recipe: dict[str, Any]
    plan: dict[str, Any] | None


@around("claim")
def claim(worker: str, code_version: str, only: Sequence[UUID] | None = None) -> Claim | None:
    """Lease the next evaluation of the run whose turn it is; None when nothing is pending. The first claim of a run starts it.

    `only` are the runs whose files this worker has; None is all of them.

    Runs of a version that this code does not know are left to others, and so is a run whose row somebody holds for longer than
    the database lets wait.
    """
    locked: list[UUID] = []
    while (run_id := _fairest_run(locked, only)) is not None:
        try:
            taken = _claim_of(run_id, worker, code_version)
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable):
                raise
            log.warning("the row of run %s is held by a session that does nothing: %s", run_id, error)
            locked.append(run_id)
            continue
        if taken is not None:
            return taken
    return None


def claim_of(run_id: UUID, token: int) -> Claim | None:
    """The claim that was given this token, however it has ended since; None when the run is not of this database, or is no more."""
    attempts = Attempt.objects.filter(token=token, evaluation__run=run_id)
    related = ("evaluation__run", "evaluation__candidate__generation")
    attempt = attempts.select_related(*related).first()
    if attempt is None:
        return None
    evaluation, candidate = attempt.evaluation, attempt.evaluation.candidate
    generation = candidate.generation
    return Claim(
        lease=Lease(Evaluation, evaluation.pk, token),
        run_id=run_id,
        config=evaluation.run.config,
        evaluation_id=evaluation.pk,
        attempt=evaluation.attempts,
        split=cast(Asked, evaluation.split),
        candidate_id=candidate.pk,
        name=candidate.name,
        kind=cast(CandidateKind, candidate.kind),
        index=candidate.index,
        generation=generation.number if generation else None,
        recipe=candidate.recipe,
        plan=generation.plan if generation and evaluation.split == "search" else None,
    )


@around("renewal")
def renew(lease: Lease) -> bool:
    """Extend the lease. False: the row is no longer ours (dropped by a stop, or given to another), so stop computing."""
    return held(lease).update(lease_until=Now() + LEASE) == 1


def held(lease: Lease) -> QuerySet[Any]:
    """The row, as long as the lease is not lost."""
    return lease.row._default_manager.filter(pk=lease.pk, status="leased", lease_token=lease.token)


def _fairest_run(but: Sequence[UUID], only: Sequence[UUID] | None) -> UUID | None:
    among = None if only is None else list(only)
    with connection.cursor() as cursor:
        cursor.execute(_FAIREST_RUN, [list(versions.KNOWN), list(but), among, among, list(CLAIMABLE), list(PROBED)])
        row = cursor.fetchone()
    return row[0] if row else None


@transaction.atomic
def _claim_of(run_id: UUID, worker: str, code_version: str) -> Claim | None:
    run = transitions.locked(run_id)
    if run.state not in (*CLAIMABLE, *PROBED):
        return None
    with connection.cursor() as cursor:
        is_exam = run.state == "finishing"  # the final split is asked of nobody before
        is_live = run.state in CLAIMABLE
        cursor.execute(_CLAIM, [run_id, is_live, is_exam, worker, LEASE.total_seconds(), worker, code_version, run_id])
        row = cursor.fetchone()
    if row is None:
        return None
    if run.state == "queued":
        transitions.start(run)
    failpoint("inside_claim")
    evaluation_id, token, attempt, split, candidate_id, name, kind, index, generation, recipe, plan = row
    return Claim(
        lease=Lease(Evaluation, evaluation_id, token),
        run_id=run_id,
        config=run.config,
        evaluation_id=evaluation_id,
        attempt=attempt,
        split=split,
        candidate_id=candidate_id,
        name=name,
        kind=kind,
        index=index,
        generation=generation,
        recipe=json.loads(recipe),
        plan=json.loads(plan) if plan and split == "search" else None,
    )
