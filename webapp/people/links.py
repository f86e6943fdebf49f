"""Links to a run: made once, shown once, found again by their hash."""

from __future__ import annotations

import secrets
from datetime import timedelta
from hashlib import sha256
from typing import Final

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from webapp.people.models import Link
from webapp.quotas import QuotaError, hold
from webapp.runs.models import Run

N_BYTES: Final = 32
MAX_LINKS: Final = 20
"""To one run."""


@transaction.atomic
def make(run: Run, days: int) -> str:
    """The secret part of a new address, which nobody sees again. QuotaError where the run has as many as one may have."""
    hold(run.owner)
    if run.links.filter(expires__gt=Now()).count() >= MAX_LINKS:
        raise QuotaError(f"{MAX_LINKS} links are all that a run may have: revoke one")
    run.links.filter(expires__lte=Now()).delete()
    key = secrets.token_urlsafe(N_BYTES)
    Link.objects.create(run=run, digest=_digest(key), expires=timezone.now() + timedelta(days=days))
    return key


def run_of(key: str) -> Run | None:
    """The run that a link shows; None where it is unknown, has expired, or its run or owner is gone."""
    valid = Link.objects.filter(
        digest=_digest(key), expires__gt=Now(), run__deleted_at=None, run__owner__is_active=True
    )
    found = valid.select_related("run__owner", "run__winner").first()
    return found.run if found else None


def _digest(key: str) -> str:
    return sha256(key.encode(errors="replace")).hexdigest()
