"""Building a merged model for download, and downloading it: whole as a zip, or file by file with resumption."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import content_disposition_header
from django.utils.text import slugify
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from webapp.accounts.requests import SignedIn
from webapp.exports import ranges, streams
from webapp.exports.actions import request_export
from webapp.exports.models import Export
from webapp.sharing.access import editable_by, run_or_refusal, runs_of


@require_POST
def start(request: SignedIn, run_id: UUID, candidate_id: int) -> HttpResponse:
    """Ask for the model; htmx gets its box, others the candidate's page."""
    run = run_or_refusal(editable_by, request.user, run_id)
    candidate = get_object_or_404(run.candidates, pk=candidate_id)
    export = request_export(run.owner, candidate)
    return _box(request, export) if request.htmx else redirect(_page(export))


@never_cache
@require_safe
def detail(request: SignedIn, export_id: UUID) -> HttpResponse:
    """The box of an export for htmx; a link to it leads to its candidate's page."""
    export = _own(request, export_id)
    return _box(request, export) if request.htmx else redirect(_page(export))


@require_safe
def file(request: SignedIn, export_id: UUID, name: str) -> HttpResponseBase:
    """One file. Its SHA-256 is its strong ETag: a download that was cut goes on where it stopped, or starts anew if the file is another."""
    export = _own(request, export_id, status="done")
    facts = next((found for found in export.files.all() if found.name == name), None)
    if facts is None:
        raise Http404
    etag = f'"{facts.sha256}"'
    headers = {"ETag": etag, "Accept-Ranges": "bytes", **_as_attachment(facts.name)}
    if ranges.is_known(request.headers, etag):
        return HttpResponse(status=304, headers=headers)
    asked = ranges.asked(request.headers, etag, facts.n_bytes)
    if asked is None:
        return HttpResponse(status=416, headers=headers | {"Content-Range": f"bytes */{facts.n_bytes}"})
    headers["Content-Length"] = str(asked.n_bytes)
    if asked.is_part:
        headers["Content-Range"] = f"bytes {asked.start}-{asked.stop - 1}/{facts.n_bytes}"
    status = 206 if asked.is_part else 200
    if request.method == "HEAD":
        return HttpResponse(status=status, headers=headers)
    pieces = streams.pieces(_folder(export) / facts.name, asked.start, asked.n_bytes)
    return StreamingHttpResponse(pieces, status=status, headers=headers)


@require_safe
def archive(request: SignedIn, export_id: UUID) -> HttpResponseBase:
    """All files as one zip, made while it is sent."""
    export = _own(request, export_id, status="done")
    root = _name(export)
    stream = streams.archive(_folder(export), list(export.files.values_list("name", flat=True)), root)
    headers = _as_attachment(f"{root}.zip") | {"Content-Length": str(len(stream)), "Content-Type": "application/zip"}
    if request.method == "HEAD":
        return HttpResponse(headers=headers)
    return StreamingHttpResponse(streams.in_threads(iter(stream)), headers=headers)


def _own(request: SignedIn, export_id: UUID, **conditions: str) -> Export:
    return get_object_or_404(_visible(request), pk=export_id, **conditions)


def _visible(request: SignedIn) -> QuerySet[Export]:
    return Export.objects.filter(candidate__run__in=runs_of(request.user)).select_related("candidate__run")


def _box(request: SignedIn, export: Export) -> HttpResponse:
    run = get_object_or_404(runs_of(request.user), pk=export.candidate.run_id)
    return render(request, "exports/_box.html", {"export": export, "candidate": export.candidate, "run": run})


def _page(export: Export) -> str:
    return reverse("runs:candidate", args=[export.candidate.run_id, export.candidate_id]) + "#download"


def _folder(export: Export) -> Path:
    return Path(settings.DATA_DIR) / "exports" / str(export.pk)


def _name(export: Export) -> str:
    """What the folder is called at its new home."""
    return slugify(f"{export.candidate.run.name} {export.candidate.name}".replace(".", "-")) or str(export.pk)


def _as_attachment(name: str) -> dict[str, str]:
    disposition = content_disposition_header(as_attachment=True, filename=name) or "attachment"
    return {
        "Content-Disposition": disposition,
        "X-Content-Type-Options": "nosniff",
        "Content-Type": "application/octet-stream",
    }
