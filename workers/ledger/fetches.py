"""Claims of tasks to fetch: like exports, but the process that a worker starts writes the result, with the claim's token."""

from __future__ import annotations

from typing import Final

from django.db import connection
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from webapp.leases import MAX_ATTEMPTS
from webapp.library.fetches import fail
from webapp.library.models import Fetch
from workers.ledger.claims import LEASE, Lease

LOST: Final = "The process that fetched it ended without a word, several times. Look into the log."
# One whose lease ran out was of a worker that is no more.
_CLAIM: Final = """
  WITH chosen AS MATERIALIZED (
       SELECT id FROM library_fetch
        WHERE status = 'pending' OR (status = 'leased' AND lease_until < clock_timestamp())
        ORDER BY created, id LIMIT 1 FOR UPDATE SKIP LOCKED)
UPDATE library_fetch f
   SET status = 'leased', attempts = f.attempts + 1, lease_token = nextval('lease_seq'), lease_owner = %s,
       lease_until = clock_timestamp() + make_interval(secs => %s)
  FROM chosen WHERE f.id = chosen.id
RETURNING f.id, f.lease_token
"""


def claim_fetch(worker: str) -> Lease | None:
    """Lease the request that has waited longest. One that has ended workers too often is given up."""
    ended = Fetch.objects.filter(status="leased", lease_until__lt=Now(), attempts__gte=MAX_ATTEMPTS)
    fail(ended, "lost", LOST)
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [worker, LEASE.total_seconds()])
        row = cursor.fetchone()
    return Lease(Fetch, *row) if row else None


def give_back_fetch(lease: Lease) -> None:
    """Not done because this worker ends; another begins anew."""
    _held(lease).update(status="pending", lease_until=None, attempts=F("attempts") - 1)


def lose_fetch(lease: Lease) -> None:
    """Its process ended without a word: once more, unless that has happened too often."""
    if _held(lease).filter(attempts__lt=MAX_ATTEMPTS).update(status="pending", lease_until=None) == 0:
        fail(_held(lease), "lost", LOST)


def _held(lease: Lease) -> QuerySet[Fetch]:
    return Fetch.objects.filter(pk=str(lease.pk), status="leased", lease_token=lease.token)
