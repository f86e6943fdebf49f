"""What people do with exports: ask for one, ask again for one that failed, and remove one to make room."""

from __future__ import annotations

import shutil
from typing import Final

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Max, Q

from webapp.exports.models import Export
from webapp.library.models import Parent
from webapp.queue import wake
from webapp.quotas import QuotaError, hold
from webapp.runs.models import Candidate, Run

UNDER_WAY: Final = ("pending", "leased")


@transaction.atomic
def request_export(owner: User, candidate: Candidate) -> Export:
    """The export of a candidate, made now if there is none; one that failed is made anew. Workers are woken after the commit.

    QuotaError when the owner's downloads would take more room than one may have.
    """
    hold(owner)
    Export.objects.filter(candidate=candidate, status="failed").delete()
    export, is_new = Export.objects.get_or_create(candidate=candidate, defaults={"owner": owner})
    if is_new:
        _check_quota(owner)
        transaction.on_commit(lambda: wake(candidate.run_id))
    return export


def _check_quota(owner: User) -> None:
    """What is built counts with its bytes, what is being built with those of the largest parent."""
    exports = Export.objects.filter(owner=owner, status__in=("done", *UNDER_WAY)).select_related("candidate__run")
    n_bytes = sum(_n_bytes_of_parent(one.candidate.run) if one.n_bytes is None else one.n_bytes for one in exports)
    if n_bytes > (most := settings.QUOTAS.export_bytes):
        raise QuotaError(
            f"with this one your downloads would take {n_bytes / 1e9:.1f} GB here, and {most / 1e9:.0f} GB are all that one may "
            "have: remove some that you do not need on their pages"
        )


def _n_bytes_of_parent(run: Run) -> int:
    fingerprints = [parent["fingerprint"] for parent in run.config["parents"]]
    largest: int | None = Parent.objects.filter(fingerprint__in=fingerprints).aggregate(n=Max("n_bytes"))["n"]
    return largest or 0


def why_kept(export: Export) -> str:
    """Who still needs the files of an export, as a sentence for a person; "" when nobody does."""
    folder = str(export.folder)
    if Parent.objects.filter(folder=folder, hidden_at=None).exists():
        return "This model is on your Models page. Take it off that list first."
    if Candidate.objects.filter(pk=export.candidate_id, adoption__parent=None, adoption__failure="").exists():
        return "This model is just being put among your models. Try again in a minute."
    uses_it = Q(config__parents__contains=[{"folder": folder}]) | Q(config__base__folder=folder)
    run = Run.objects.filter(uses_it, deleted_at=None).first()
    return f"The run “{run.name}” has this model as a parent. Delete that run first." if run else ""


@transaction.atomic
def remove_export(export: Export) -> str:
    """Remove the download, so that it can be built anew; downloads that have begun are still sent whole. Why it was kept, or "".

    Once the row is gone nobody can reach the files: whoever dies before they are removed leaves that to the workers' sweep.
    """
    if reason := why_kept(export):
        return reason
    folder = export.folder
    export.delete()
    transaction.on_commit(lambda: shutil.rmtree(folder, ignore_errors=True))
    return ""
