"""What time brings: room on a disk that was full, and the end of runs that were deleted. Every worker looks now and then."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from webapp.runs import transitions
from webapp.runs.models import Run

PURGED_AFTER: Final = timedelta(minutes=5)


def resume_where_there_is_room() -> list[UUID]:
    """Resume the runs that paused when the disk was full and that have room in the data folder now."""
    free = shutil.disk_usage(settings.DATA_DIR).free
    roomy = Run.objects.filter(state="paused", deleted_at=None, needs_bytes__lte=free).values_list("pk", flat=True)
    return [run_id for run_id in roomy if transitions.resume(run_id)]


def purge_deleted() -> int:
    """Remove what is left in the database of one run that was deleted a while ago: 1, or 0 when there is none.

    Runs stay whose models were built, until `repairs.sweep_exports` has removed these, and those whose models are parents of others.
    """
    needed = Q(candidates__exports__status__in=("pending", "leased", "done")) | Q(
        candidates__adoption__parent__isnull=False
    )
    unneeded = Run.objects.filter(deleted_at__lt=Now() - PURGED_AFTER).exclude(needed).order_by("deleted_at")
    with transaction.atomic():
        run = unneeded.select_for_update(of=("self",), skip_locked=True).first()
        if run is None:
            return 0
        run.delete()
    return 1
