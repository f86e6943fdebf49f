"""What people do with exports: ask for one, ask again for one that failed, and remove one to make room."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import reduce
from operator import or_
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Max, Q

from webapp.exports.models import Export
from webapp.leases import UNDER_WAY
from webapp.library.models import Parent
from webapp.queue import wake
from webapp.quotas import QuotaError, hold
from webapp.runs.models import Candidate, Run


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


def whys_kept(exports: Sequence[Export]) -> dict[UUID, str]:
    """Who still needs the files of which of these exports, as sentences for a person; those that nobody needs are left out."""
    if not exports:
        return {}
    folders = {str(export.folder): export for export in exports}
    found: dict[UUID, str] = {}
    uses_them = [
        Q(config__parents__contains=[{"folder": folder}]) | Q(config__base__folder=folder) for folder in folders
    ]
    for run in Run.objects.filter(reduce(or_, uses_them), deleted_at=None).order_by("-created"):
        models = [*run.config.get("parents", ()), run.config.get("base")]
        for export in (folders[model["folder"]] for model in models if model and model["folder"] in folders):
            found[export.pk] = f"The run “{run.name}” has this model as a parent. Delete that run first."
    will_use_them = [Q(sequel__config__parents__contains=[{"folder": folder}]) for folder in folders]
    awaited = {"sequel__run": None, "sequel__called_off": False, "deleted_at": None}
    for run in Run.objects.filter(reduce(or_, will_use_them), **awaited).select_related("sequel"):
        models = run.sequel.config["parents"]
        for export in (folders[model["folder"]] for model in models if model["folder"] in folders):
            found[export.pk] = f"The run that follows “{run.name}” has this model as a parent. Call it off first."
    adopted = {"adoption__parent": None, "adoption__failure": "", "adoption__isnull": False}
    candidates = {export.candidate_id: export for export in exports}
    for pk in Candidate.objects.filter(pk__in=candidates, **adopted).values_list("pk", flat=True):
        found[candidates[pk].pk] = "This model is just being put among your models. Try again in a minute."
    for folder in Parent.objects.filter(folder__in=folders, hidden_at=None).values_list("folder", flat=True):
        found[folders[folder].pk] = "This model is on your Models page. Take it off that list first."
    return found


@transaction.atomic
def remove_export(export: Export) -> str:
    """Remove the download, so that it can be built anew; downloads that have begun are still sent whole. Why it was kept, or "".

    Once the row is gone nobody can reach the files: whoever dies before they are removed leaves that to the workers' sweep.
    """
    if reason := whys_kept([export]).get(export.pk):
        return reason
    folder = export.folder
    export.delete()
    transaction.on_commit(lambda: shutil.rmtree(folder, ignore_errors=True))
    return ""
