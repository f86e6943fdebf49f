"""Claims of models to build for download: like evaluations, but without a run's state, attempts or events.

A build goes to `<export>.<token>` beside its final place, `<export>`; it is renamed in the transaction that makes it
visible, while the row is locked, so a holder who lost the lease can neither publish nor overwrite.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

from merging.folders import BuiltFile, flush
from webapp.exports.models import Export, ExportFile
from webapp.leases import LEASE, MAX_ATTEMPTS
from webapp.runs import versions
from webapp.runs.models import Candidate
from workers import failures, texts
from workers.failpoints import around, failpoint
from workers.failures import Failure
from workers.ledger.claims import Lease, held
from workers.ledger.leases import IN_TURN, TURNS, fail

_CLAIM: Final = f"""
  WITH chosen AS MATERIALIZED (
       SELECT e.id FROM exports_export e JOIN {TURNS.format(table="exports_export")} turn USING (owner_id)
         JOIN runs_candidate c ON c.id = e.candidate_id JOIN runs_run r ON r.id = c.run_id
        WHERE e.status = 'pending' AND r.algo_version = ANY(%s)
        ORDER BY {IN_TURN}, e.created, e.id LIMIT 1 FOR UPDATE OF e SKIP LOCKED)
UPDATE exports_export e
   SET status = 'leased', attempts = e.attempts + 1, lease_token = nextval('lease_seq'), lease_owner = %s,
       lease_until = clock_timestamp() + make_interval(secs => %s), stage = '', progress = 0
  FROM chosen WHERE e.id = chosen.id
RETURNING e.id, e.candidate_id, e.lease_token
"""


@dataclass(frozen=True)
class ExportClaim:
    """One model to build. Files go to `partial`, which is `final` after `finish_export`."""

    lease: Lease
    export_id: UUID
    run_id: UUID
    candidate_id: int
    recipe: dict[str, Any]
    partial: Path
    final: Path


def folder() -> Path:
    """Where exports live, one folder each."""
    return Path(settings.DATA_DIR) / "exports"


@around("export_claim")
def claim_export(worker: str) -> ExportClaim | None:
    """Lease the export that has waited longest, of the person whose turn it is."""
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [list(versions.KNOWN), worker, LEASE.total_seconds()])
        row = cursor.fetchone()
    if row is None:
        return None
    export_id, candidate_id, token = row
    candidate = Candidate.objects.only("run_id", "recipe").get(pk=candidate_id)
    partial = folder() / f"{export_id}.{token}"
    lease = Lease(Export, export_id, token)
    return ExportClaim(
        lease, export_id, candidate.run_id, candidate_id, candidate.recipe, partial, folder() / str(export_id)
    )


def report_export(claim: ExportClaim, stage: str, share: float) -> None:
    """Show how far it is. Nothing happens when the lease is lost."""
    held(claim.lease).update(stage=stage, progress=share)


@around("export")
@transaction.atomic
def finish_export(claim: ExportClaim, files: Sequence[BuiltFile], checks: Mapping[str, Any] | None = None) -> bool:
    """Publish the folder and its files, with what was found out about them. False when fenced: the partial folder is removed."""
    export = held(claim.lease).select_for_update().first()
    if export is None:
        shutil.rmtree(claim.partial, ignore_errors=True)
        return Export.objects.filter(pk=claim.export_id, status="done", lease_token=claim.lease.token).exists()
    failpoint("before_rename")
    _publish(claim)
    failpoint("after_rename")
    ExportFile.objects.filter(export=export).delete()
    ExportFile.objects.bulk_create(
        ExportFile(export=export, name=f.name, n_bytes=f.n_bytes, sha256=f.sha256) for f in files
    )
    n_bytes = sum(file.n_bytes for file in files)
    found = {"n_bytes": n_bytes, "checks": texts.clean_json(checks or {})}
    held(claim.lease).update(status="done", lease_until=None, finished=Now(), stage="", progress=1.0, **found)
    return True


@transaction.atomic
def fail_export(claim: ExportClaim, failure: Failure) -> bool:
    """It cannot be built: terminal, with a kind and a sentence. False when fenced."""
    shutil.rmtree(claim.partial, ignore_errors=True)
    return bool(fail(held(claim.lease), failure))


@transaction.atomic
def give_back_export(claim: ExportClaim, failure: Failure | None = None) -> bool:
    """Not built after all: pending again, or failed when this was the third failure of a worker."""
    shutil.rmtree(claim.partial, ignore_errors=True)
    export = held(claim.lease).select_for_update().first()
    return export is not None and return_export(export, failure)


def return_export(export: Export, failure: Failure | None) -> bool:
    """Make a leased export pending, or failed after too many attempts."""
    leased = Export.objects.filter(pk=export.pk, status="leased", lease_token=export.lease_token)
    if failure is not None and export.attempts >= MAX_ATTEMPTS:
        sentence = failures.poison(export.attempts, failure.sentence)
        return bool(fail(leased, Failure("candidate", failures.POISON, sentence)))
    attempts = export.attempts - (failure is None)
    return bool(leased.update(status="pending", lease_until=None, attempts=attempts, stage="", progress=0.0))


def _publish(claim: ExportClaim) -> None:
    """Rename, and make the name survive a power cut. What stands there is of an attempt that never committed: of this claim's, when the
    database was lost after the rename and this is the second call.
    """
    if claim.partial.exists():
        shutil.rmtree(claim.final, ignore_errors=True)
        claim.partial.rename(claim.final)
    flush(claim.final.parent)
