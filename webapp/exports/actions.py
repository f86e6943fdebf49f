"""What people do with exports: ask for one, ask again for one that failed, push one to the Hub, and remove one to make room."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import reduce
from operator import or_
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, Max, OuterRef, Q, QuerySet

from webapp.accounts.hub import token_of
from webapp.exports.kinds import KINDS, KindName
from webapp.exports.licensing import UNDECIDED, decision
from webapp.exports.models import MAIN, Export, Push
from webapp.leases import UNDER_WAY
from webapp.library.models import Parent
from webapp.marks.queries import starred
from webapp.queue import wake
from webapp.quotas import QuotaError, hold
from webapp.runs.models import Candidate, Run


class PushError(Exception):
    """It cannot be pushed, and what to do about it: a sentence for the person who asked."""


class StillNeeded(Exception):
    """It cannot be built again while somebody needs its files: a sentence for the person who asked."""


@transaction.atomic
def request_export(owner: User, candidate: Candidate, kind: KindName = "folder", variant: str = "") -> Export:
    """The export of a candidate as one of `kinds.KINDS`, made now if there is none; one that failed is made anew. Workers are woken after
    the commit. `variant` is for GGUF: one of `merging.finished.gguf.TYPES`.

    QuotaError when the owner's downloads would take more room than one may have.
    """
    hold(owner)
    wanted = {"candidate": candidate, "kind": kind, "variant": variant}
    Export.objects.filter(**wanted, status="failed").delete()
    export, is_new = Export.objects.get_or_create(**wanted, defaults={"owner": owner})
    if is_new:
        if KINDS[kind].is_model:
            _check_quota(owner)
        transaction.on_commit(lambda: wake(candidate.run_id))
    return export


def folder_of(candidate: Candidate) -> Export | None:
    """The candidate's Hugging Face folder, in whatever state; None when nobody has asked for it."""
    return Export.objects.filter(candidate=candidate, kind="folder").first()


def kept_by_policy() -> QuerySet[Candidate, int]:
    """The candidates, by their numbers, whose exports whatever cleans up by itself leaves: winners, and those that have anybody's star.
    All others are their recipes, from which the same bytes are built again.
    """
    winners = Run.objects.filter(winner=OuterRef("pk"))
    kept = Candidate.objects.filter(Exists(winners) | Q(pk__in=starred()))
    return kept.values_list("pk", flat=True)


@transaction.atomic
def request_push(
    owner: User, export: Export, repo: str, is_private: bool = True, branch: str = MAIN, as_pull_request: bool = False
) -> Push:
    """Send an export to the Hub with this person's token. Workers see to it.

    PushError when it is no finished model, its licence is not decided, this person has no token, or it is being pushed already.
    """
    export = Export.objects.select_for_update().get(pk=export.pk)
    if not (export.form.is_model and export.status == "done"):
        raise PushError(f"{export} is not built: only a finished model can be pushed.")
    if decision(export.candidate) is None:
        raise PushError(UNDECIDED)
    if token_of(owner) is None:
        raise PushError("The Hub wants to know who pushes: give a token of yours that may write, under Account.")
    if export.pushes.filter(status__in=UNDER_WAY).exists():
        raise PushError(f"{export} is being pushed already.")
    return Push.objects.create(
        owner=owner,
        export=export,
        repo=repo,
        is_private=is_private,
        branch=MAIN if as_pull_request else branch,
        as_pull_request=as_pull_request,
        n_bytes=export.n_bytes or 0,
    )


def call_off(push: Push) -> None:
    """Take it off the list. What is under way ends within seconds; what has arrived at the Hub stays there."""
    push.delete()


def _check_quota(owner: User) -> None:
    """What is built counts with its bytes, what is being built with those of the largest parent."""
    exports = Export.objects.filter(owner=owner, status__in=("done", *UNDER_WAY)).select_related("candidate__run")
    models = [kind.name for kind in KINDS.values() if kind.is_model]
    exports = exports.filter(kind__in=models)
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
    for push in Push.objects.filter(export__in=exports, status__in=UNDER_WAY):
        found[push.export_id] = f"This model is on its way to {push.repo}. Wait until it has arrived, or call that off."
    adopted = {"adoption__parent": None, "adoption__failure": "", "adoption__isnull": False}
    candidates = {export.candidate_id: export for export in exports if export.kind == "folder"}
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


@transaction.atomic
def build_again(owner: User, candidate: Candidate, kind: KindName = "folder", variant: str = "") -> Export:
    """Remove what is built and ask for it anew: the tensors become the same, the card says what is known now.

    StillNeeded or QuotaError, and nothing is removed.
    """
    done = Export.objects.filter(candidate=candidate, kind=kind, variant=variant, status="done").first()
    if done and (reason := remove_export(done)):
        raise StillNeeded(reason)
    return request_export(owner, candidate, kind, variant)
