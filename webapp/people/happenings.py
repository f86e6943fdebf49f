"""What has happened to somebody's runs and exports: the bell and every other channel tell the same. Reads rows."""

from __future__ import annotations

from typing import Any

from django.db.models import Max, Q, QuerySet

from webapp.exports.models import Export
from webapp.runs.models import ENDED, Run


def ended(owner: int) -> QuerySet[Run]:
    """Runs that are over, at `ended`."""
    return Run.objects.filter(owner=owner, deleted_at=None, state__in=ENDED, ended__isnull=False)


def paused(owner: int) -> QuerySet[Any]:
    """Runs that have paused by themselves, which is when there is a message; at `at`."""
    found = Run.objects.filter(owner=owner, deleted_at=None, state="paused").exclude(message="")
    return found.annotate(at=Max("events__created", filter=Q(events__kind="run.state")))


def exported(owner: int) -> QuerySet[Export]:
    """Exports that are built or could not be, at `finished`."""
    return Export.objects.filter(owner=owner, status__in=("done", "failed"), finished__isnull=False)
