"""Leased work: the columns and states that any unit of work has, whatever it computes.

    pending -> leased -> done | failed
       |         |  `--> pending         the lease ran out or was given back
       `---------`-----> dropped         the run was stopped before it was computed

`done`, `failed` and `dropped` are terminal: the database refuses to change such a row. Who holds `lease_token` holds the work; a result
that comes with another token is refused (fencing). The database's clock alone decides when a lease ends.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal

from django.db import models
from django.db.models import Func, Q

Status = Literal["pending", "leased", "done", "failed", "dropped"]
UNDER_WAY: Final[tuple[Status, ...]] = ("pending", "leased")
TERMINAL: Final[tuple[Status, ...]] = ("done", "failed", "dropped")
MAX_ATTEMPTS: Final = 3
"""Claims of one row that may end without its own fault before it counts as poison."""
LEASE: Final = timedelta(seconds=45)
"""How long a claim or a renewal holds."""
HOLDS: Final = f"BETWEEN clock_timestamp() AND clock_timestamp() + interval '{2 * LEASE.total_seconds():.0f} seconds'"
"""Said of `lease_until`, in SQL: the lease has not ended. One that ends later than any can was given before the clock was set back."""


class Leased(models.Model):
    """A unit of work that at most one worker at a time may compute."""

    status = models.CharField(max_length=10, default="pending", choices=[(s, s) for s in (*UNDER_WAY, *TERMINAL)])
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_token = models.BigIntegerField(null=True, blank=True)
    lease_owner = models.CharField(max_length=200, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    failure_kind = models.CharField(max_length=40, blank=True)
    failure = models.TextField(blank=True, help_text="for a person: what went wrong, and what to do next")

    class Meta:
        abstract = True
        constraints = [
            models.CheckConstraint(condition=Q(status__in=(*UNDER_WAY, *TERMINAL)), name="%(class)s_status_known"),
            models.CheckConstraint(
                condition=Q(status="leased", lease_until__isnull=False, lease_token__isnull=False)
                | (~Q(status="leased") & Q(lease_until__isnull=True)),
                name="%(class)s_leased_has_lease",
            ),
            models.CheckConstraint(
                condition=(Q(status="failed") & ~Q(failure_kind="")) | (~Q(status="failed") & Q(failure_kind="")),
                name="%(class)s_failed_has_kind",
            ),
        ]

    @property
    def is_under_way(self) -> bool:
        """Whether something will still come of it."""
        return self.status in UNDER_WAY


class _Holds(Func):
    template = f"(%(expressions)s {HOLDS})"
    output_field = models.BooleanField()


def live() -> Q:
    """Somebody holds it."""
    return Q(_Holds("lease_until"), status="leased")


def expired() -> Q:
    """Somebody held it whose lease has ended."""
    return Q(~Q(_Holds("lease_until")), status="leased")
