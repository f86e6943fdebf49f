"""Claims of what a process beside the worker carries out and writes itself, with the claim's token: fetches of models, comparisons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import F

from webapp.leases import MAX_ATTEMPTS, Leased, expired
from workers.ledger.claims import Lease, held
from workers.ledger.leases import claim_oldest

LOST: Final = "lost"


@dataclass(frozen=True)
class Requests:
    """Rows of one kind. `fail` says of rows that they cannot be done: their kind of failure, and why; `lost` is why when their process
    ended without a word, several times.
    """

    rows: type[Leased]
    fail: Callable[[Any, str, str], None]
    lost: str

    def claim(self, worker: str) -> Lease | None:
        """Lease the row that `claim_oldest` finds. One that has ended workers too often is given up."""
        self.fail(self.rows._default_manager.filter(expired(), attempts__gte=MAX_ATTEMPTS), LOST, self.lost)
        return claim_oldest(self.rows, worker)

    def give_back(self, lease: Lease) -> None:
        """Not done because this worker ends; another goes on."""
        held(lease).update(status="pending", lease_until=None, attempts=F("attempts") - 1)

    def lose(self, lease: Lease) -> None:
        """Its process ended without a word: once more, unless that has happened too often."""
        if held(lease).filter(attempts__lt=MAX_ATTEMPTS).update(status="pending", lease_until=None) == 0:
            self.fail(held(lease), LOST, self.lost)
