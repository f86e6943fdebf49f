"""What crashes, kills and lost messages leave behind, found in the rows. Every worker looks now and then."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from webapp.exports.actions import remove_export
from webapp.exports.models import Export
from webapp.leases import LEASE, expired
from webapp.runs import versions
from webapp.runs.models import CLAIMABLE, PROBED, Evaluation, Event, Run
from webapp.trials.models import Trial
from workers.failpoints import around, failpoint
from workers.failures import Failure
from workers.ledger import trials
from workers.ledger.exports import folder, return_export
from workers.ledger.results import end_attempt, return_to_queue

ADVISORY_LOCK: Final = 0x70726F67  # "prog"
_EXPORT: Final = re.compile(r"\.?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:\.(\d+)(?:\.partial)?)?")
UNRELAYED_AFTER: Final = timedelta(seconds=2)
"""An event younger than this is probably on its way."""


@around("reap")
def reap() -> int:
    """Give expired leases back and close their attempts as lost. Returns how many. Nothing when another process is at it; a run whose row
    somebody holds is left to the next time.
    """
    with transaction.atomic():
        if not _alone():
            return 0
        late = Evaluation.objects.filter(expired())
        runs = list(late.order_by("run_id").values_list("run_id", flat=True).distinct())
        return sum(_reap_run(run_id) for run_id in runs) + _reap_exports()


def expire_leases_of(worker: str) -> int:
    """End what an earlier life of this worker held: its name is its own, so nobody computes that any more."""
    mine = {"status": "leased", "lease_owner": worker}
    return sum(rows.objects.filter(**mine).update(lease_until=Now()) for rows in (Evaluation, Export, Trial))


def unrelayed() -> list[UUID]:
    """Runs with events that nobody has announced."""
    late = Event.objects.filter(relayed=None, created__lt=Now() - UNRELAYED_AFTER)
    return list(late.order_by("run_id").values_list("run_id", flat=True).distinct())


def claimable() -> bool:
    """Whether a claim would find anything."""
    whose = Q(run__state__in=CLAIMABLE) | Q(run__state__in=PROBED, split="probe")
    pending = Evaluation.objects.filter(
        whose, status="pending", run__deleted_at=None, run__algo_version__in=versions.KNOWN
    )
    wanted = Export.objects.filter(status="pending", candidate__run__algo_version__in=versions.KNOWN)
    return pending.exists() or wanted.exists() or trials.waiting().exists()


def sweep_exports() -> int:
    """Remove folders that nobody can reach: of builders who lost their lease or were killed, of exports that failed or were removed, and
    of deleted runs, unless a run or the Models page still needs them. Returns how many. Nothing younger than two leases is touched.
    """
    for export in Export.objects.filter(status="done", candidate__run__deleted_at__isnull=False):
        remove_export(export)
    found = [path for path in folder().glob("*") if _EXPORT.fullmatch(path.name)]
    rows = {
        str(row.pk): row for row in Export.objects.only("status", "lease_token")
    }  # after looking: a row is older than its folder
    oldest = time.time() - 2 * LEASE.total_seconds()
    orphans = [path for path in found if not _is_needed(path.name, rows) and _age_mark(path) < oldest]
    for path in orphans:
        shutil.rmtree(path, ignore_errors=True)
    return len(orphans)


def _is_needed(name: str, rows: Mapping[str, Export]) -> bool:
    """`<export>` belongs to a row that has not failed, `<export>.<token>` and `.<export>.<token>.partial` to whoever holds that lease."""
    export_id, token = _EXPORT.fullmatch(name).groups()  # type: ignore[union-attr]  # only such names come here
    row = rows.get(export_id)
    if row is None:
        return False
    return row.status != "failed" if token is None else row.status == "leased" and str(row.lease_token) == token


def _age_mark(path: Path) -> float:
    """When the folder's entries last changed; now, if it has gone meanwhile."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()


def _alone() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [ADVISORY_LOCK])
        return bool(cursor.fetchone()[0])


def _reap_run(run_id: UUID) -> int:
    run = Run.objects.select_for_update(no_key=True, skip_locked=True).filter(pk=run_id).first()
    late = list(_late(run)) if run else []
    for evaluation in late:
        failure = _lost(evaluation.lease_owner)
        return_to_queue(evaluation, failure)
        failpoint("inside_reap")
        end_attempt(evaluation.lease_token or 0, "lost", failure.sentence)
    return len(late)


def _late(run: Run) -> QuerySet[Evaluation]:
    late = run.evaluations.filter(expired())
    return late.select_related("candidate").select_for_update(of=("self",))


def _reap_exports() -> int:
    late = Export.objects.filter(expired()).select_for_update(skip_locked=True)
    return sum(return_export(export, _lost(export.lease_owner)) for export in late)


def _lost(worker: str) -> Failure:
    return Failure("worker", "lost", f"Worker {worker} did not report: it was killed, froze or lost the database.")
