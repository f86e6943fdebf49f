"""Building a merged model for download, the list of all of them, downloading, whole as a zip or file by file, and removing."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import content_disposition_header
from django.utils.text import slugify
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from webapp.accounts.requests import SignedIn
from webapp.exports import listing, scripts, streams
from webapp.exports.actions import StillNeeded, build_again, remove_export, request_export
from webapp.exports.cards import lacks_decision
from webapp.exports.forms import FormForm, said
from webapp.exports.licensing import decision
from webapp.exports.models import Export
from webapp.exports.responses import response, response_by_nginx
from webapp.quotas import QuotaError
from webapp.runs.models import Candidate
from webapp.sharing.access import editable_by, owned_by, run_or_refusal, runs_of


@require_safe
def exports(request: SignedIn) -> HttpResponse:
    """All downloads that one may see, newest first. What is shown is in the address."""
    visible = listing.visible_to(request.user)
    show = request.GET.get("show", "all")
    chosen = listing.filtered(visible, show).prefetch_related("files")
    page = Paginator(chosen, listing.PER_PAGE).get_page(request.GET.get("page"))
    any_export = bool(page.object_list) or visible.exists()
    context = {
        "page": page,
        "show": show if show in listing.SHOWN else "all",
        "shown": tuple(listing.SHOWN),
        "any_export": any_export,
        "room": listing.room_of(request.user),
        "most": settings.QUOTAS.export_bytes,
        "winner": None if any_export else listing.newest_winner(request.user),
    }
    return render(request, "exports/list.html", context)


@never_cache
@require_safe
def row(request: SignedIn, export_id: UUID) -> HttpResponse:
    """One line of the list, which asks for itself while it is built; nothing when it was removed meanwhile."""
    found = listing.visible_to(request.user).prefetch_related("files")
    return render(request, "exports/_row.html", {"export": get_object_or_404(found, pk=export_id)})


@require_POST
def start(request: SignedIn, run_id: UUID, candidate_id: int) -> HttpResponse:
    """Ask for the model, or for a built one `again`; htmx gets its box, others the candidate's page."""
    run = run_or_refusal(editable_by, request.user, run_id)
    candidate = get_object_or_404(run.candidates, pk=candidate_id)
    form = FormForm(request.POST)
    if not form.is_valid():
        return _refused(request, candidate, said(form))
    ask = request_export
    if request.POST.get("again"):
        run_or_refusal(owned_by, request.user, run_id)  # it removes what is there
        ask = build_again
    try:
        export = ask(run.owner, candidate, **form.cleaned_data)
    except (QuotaError, StillNeeded) as error:
        return _refused(request, candidate, str(error))
    return _box(request, export) if request.htmx else redirect(_back(request, _page(export)))


@never_cache
@require_safe
def detail(request: SignedIn, export_id: UUID) -> HttpResponse:
    """The box of an export for htmx; a link to it leads to its candidate's page."""
    export = _own(request, export_id)
    return _box(request, export) if request.htmx else redirect(_page(export))


@require_POST
def remove(request: SignedIn, export_id: UUID) -> HttpResponse:
    """Remove the download to make room; then back to the candidate's page, or to the list, which says whether it was."""
    export = _own(request, export_id, status="done")
    run_or_refusal(owned_by, request.user, export.candidate.run_id)
    page = _back(request, _page(export))
    if reason := remove_export(export):
        messages.error(request, reason)
    else:
        messages.success(request, "The download is removed. It can be built again.")
    return redirect(page)


@require_safe
def file(request: SignedIn, export_id: UUID, name: str) -> HttpResponseBase:
    """One file. Its SHA-256 is its strong ETag: a download that was cut goes on where it stopped, or starts anew if the file is another."""
    return _file(request, _own(request, export_id, status="done"), name)


@login_not_required
@never_cache
@require_safe
def keyed(request: HttpRequest, export_id: UUID, key: str, name: str) -> HttpResponseBase:
    """One file, for a program that brings a key: as long as whoever made the key may see the export."""
    found = scripts.opened(key)
    user = (
        User.objects.filter(pk=found.user_id, is_active=True).first()
        if found and found.export_id == export_id
        else None
    )
    if user is None:
        raise Http404
    return _file(request, get_object_or_404(listing.visible_to(user), pk=export_id, status="done"), name)


@never_cache
@require_safe
def script(request: SignedIn, export_id: UUID) -> HttpResponse:
    """A program that fetches all files of it on another machine."""
    export = _own(request, export_id, status="done")
    origin = settings.PUBLIC_URL or request.build_absolute_uri("/").rstrip("/")
    text = scripts.script(export, request.user.pk, origin, _name(export))
    headers = {
        "Content-Disposition": content_disposition_header(as_attachment=True, filename=f"{_name(export)}.sh")
        or "attachment"
    }
    return HttpResponse(text, content_type="text/x-shellscript; charset=utf-8", headers=headers)


def _file(request: HttpRequest, export: Export, name: str) -> HttpResponseBase:
    facts = next((found for found in export.files.all() if found.name == name), None)
    if facts is None:
        raise Http404
    try:
        content = streams.File(export.folder / facts.name, facts.n_bytes, facts.sha256)
    except FileNotFoundError:
        return _gone()
    if settings.ACCEL:
        content.close()
        return response_by_nginx(request, f"{export.pk}/{facts.name}", facts.sha256, facts.name)
    return response(request, content, facts.name, "application/octet-stream")


@require_safe
def archive(request: SignedIn, export_id: UUID) -> HttpResponseBase:
    """All files as one zip, made while it is sent; it can be resumed as a file can."""
    export = _own(request, export_id, status="done")
    root = _name(export)
    try:
        content = streams.Archive(root, [(export.folder / one.name, one.sha256) for one in export.files.all()])
    except FileNotFoundError:
        return _gone()
    return response(request, content, f"{root}.zip", "application/zip")


def _gone() -> HttpResponse:
    """The rows are there and the files are not: removed just now, or lost."""
    words = "The files of this download are gone. Remove it on its page and build it again.\n"
    return HttpResponse(words, status=410, content_type="text/plain; charset=utf-8")


def _own(request: SignedIn, export_id: UUID, **conditions: str) -> Export:
    return get_object_or_404(listing.visible_to(request.user), pk=export_id, **conditions)


def _box(request: SignedIn, export: Export) -> HttpResponse:
    run = get_object_or_404(runs_of(request.user), pk=export.candidate.run_id)
    is_old = lacks_decision(export, decision(export.candidate))
    context = {"export": export, "candidate": export.candidate, "run": run, "old_cards": {export.pk} if is_old else ()}
    answer = render(request, "exports/_box.html" if export.kind == "folder" else "exports/_form.html", context)
    if export.status == "done" and export.form.is_model and request.method == "GET":  # now it can be published
        answer.headers["HX-Refresh"] = "true"
    return answer


def _refused(request: SignedIn, candidate: Candidate, reason: str) -> HttpResponse:
    messages.error(request, reason)
    page = _back(request, reverse("runs:candidate", args=[candidate.run_id, candidate.pk]))
    return HttpResponseClientRedirect(page) if request.htmx else redirect(page)


def _back(request: SignedIn, page: str) -> str:
    """The list, for a form that stands there; else this page."""
    return reverse("exports:list") if request.POST.get("back") == "list" else page


def _page(export: Export) -> str:
    part = "download" if export.kind == "folder" else "forms"
    return reverse("runs:candidate", args=[export.candidate.run_id, export.candidate_id]) + f"#{part}"


def _name(export: Export) -> str:
    """What the folder is called at its new home."""
    kind = "" if export.kind == "folder" else f" {export.kind} {export.variant}"
    return slugify(f"{export.candidate.run.name} {export.candidate.name}{kind}".replace(".", "-")) or str(export.pk)
