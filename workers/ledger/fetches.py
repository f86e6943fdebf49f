"""Claims of tasks to fetch: like exports, but the process that a worker starts writes the result, with the claim's token."""

from __future__ import annotations

from typing import Final

from django.db.models import F

from webapp.leases import MAX_ATTEMPTS, expired
from webapp.library.fetches import fail
from webapp.library.models import Fetch
from workers.ledger.claims import Lease, held
from workers.ledger.leases import claim_oldest

LOST: Final = "The process that fetched it ended without a word, several times. Look into the log."


def claim_fetch(worker: str) -> Lease | None:
    """Lease the request that has waited longest. One that has ended workers too often is given up."""
    fail(Fetch.objects.filter(expired(), attempts__gte=MAX_ATTEMPTS), "lost", LOST)
    return claim_oldest(Fetch, worker)


def give_back_fetch(lease: Lease) -> None:
    """Not done because this worker ends; another begins anew."""
    held(lease).update(status="pending", lease_until=None, attempts=F("attempts") - 1)


def lose_fetch(lease: Lease) -> None:
    """Its process ended without a word: once more, unless that has happened too often."""
    if held(lease).filter(attempts__lt=MAX_ATTEMPTS).update(status="pending", lease_until=None) == 0:
        fail(held(lease), "lost", LOST)
