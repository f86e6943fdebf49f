"""What claims of exports, trials and fetches have in common: the oldest is taken, a lease runs out, what cannot be done has failed."""

from __future__ import annotations

from typing import Any, Final

from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Now

from webapp.leases import HOLDS, LEASE, MAX_ATTEMPTS, Leased
from workers import texts
from workers.failures import Failure
from workers.ledger.claims import Lease

# For work that is of no run. One whose lease ran out was of a worker that is no more. The names are Django's, never anybody's words.
_CLAIM_OLDEST: Final = f"""
  WITH chosen AS MATERIALIZED (
       SELECT id FROM {{table}}
        WHERE status = 'pending' OR (status = 'leased' AND NOT lease_until {HOLDS} AND attempts < {MAX_ATTEMPTS})
        ORDER BY created, id LIMIT 1 FOR UPDATE SKIP LOCKED)
UPDATE {{table}} w
   SET status = 'leased', attempts = w.attempts + 1, lease_token = nextval('lease_seq'), lease_owner = %s,
       lease_until = clock_timestamp() + make_interval(secs => %s){{fresh}}
  FROM chosen WHERE w.id = chosen.id
RETURNING w.id, w.lease_token
"""


def claim_oldest(rows: type[Leased], worker: str, fresh: str = "") -> Lease | None:
    """Lease the row of no run that has waited longest, or whose lease has run out; the text column `fresh` is emptied."""
    claim = _CLAIM_OLDEST.format(table=rows._meta.db_table, fresh=f", {fresh} = ''" if fresh else "")
    with connection.cursor() as cursor:
        cursor.execute(claim, [worker, LEASE.total_seconds()])
        row = cursor.fetchone()
    return Lease(rows, *row) if row else None


def fail(rows: QuerySet[Any], failure: Failure) -> int:
    """These, which are held, cannot be done, and why. How many they were."""
    return rows.update(
        status="failed",
        lease_until=None,
        finished=Now(),
        stage="",
        failure_kind=failure.kind,
        failure=texts.clean(failure.sentence),
    )
