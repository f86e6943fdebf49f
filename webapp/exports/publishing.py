"""Pages of what goes to the Hub: the licence that a person decides on, a push, and how far it is."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from webapp.accounts.requests import SignedIn
from webapp.exports import listing
from webapp.exports.actions import PushError, request_push
from webapp.exports.actions import call_off as call_off_push
from webapp.exports.cards import lacks_decision
from webapp.exports.forms import LicenceForm, PushForm, said
from webapp.exports.licensing import decide, proposal
from webapp.exports.models import Push
from webapp.runs.models import Candidate
from webapp.sharing.access import editable_by, run_or_refusal


@require_POST
def decide_licence(request: SignedIn, run_id: UUID, candidate_id: int) -> HttpResponse:
    """A person decides; then back to the candidate."""
    run = run_or_refusal(editable_by, request.user, run_id)
    candidate = get_object_or_404(run.candidates, pk=candidate_id)
    form = LicenceForm(proposal(candidate), request.POST)
    if form.is_valid():
        decided = decide(candidate, request.user, **form.cleaned_data)
        is_old = any(lacks_decision(export, decided) for export in candidate.exports.all())
        more = " What is built already does not say so in its card: build it again to have it there." if is_old else ""
        messages.success(request, f"{candidate.name} may be published under {decided}.{more}")
    else:
        messages.error(request, said(form))
    return redirect(_page(candidate))


@require_POST
def push(request: SignedIn, export_id: UUID) -> HttpResponse:
    """Send it to the Hub in the name of whoever asks."""
    export = get_object_or_404(listing.visible_to(request.user), pk=export_id)
    run_or_refusal(editable_by, request.user, export.candidate.run_id)
    form = PushForm(request.POST)
    try:
        if not form.is_valid():
            raise PushError(said(form))
        asked = request_push(request.user, export, **form.cleaned_data)
    except PushError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"It goes to {asked.repo} as soon as a worker is free. You may leave this page.")
    return redirect(_page(export.candidate))


@never_cache
@require_safe
def push_row(request: SignedIn, push_id: UUID) -> HttpResponse:
    """How far it is, for htmx; a link to it leads to its candidate."""
    found = _visible(request, push_id)
    if not request.htmx:
        return redirect(_page(found.export.candidate))
    return render(request, "exports/_push.html", {"push": found})


@require_POST
def call_off(request: SignedIn, push_id: UUID) -> HttpResponse:
    """End it, or take it off the list."""
    found = _visible(request, push_id)
    run_or_refusal(editable_by, request.user, found.export.candidate.run_id)
    call_off_push(found)
    return redirect(_page(found.export.candidate))


def _visible(request: SignedIn, push_id: UUID) -> Push:
    pushes = Push.objects.filter(export__in=listing.visible_to(request.user))
    return get_object_or_404(pushes.select_related("export__candidate", "owner"), pk=push_id)


def _page(candidate: Candidate) -> str:
    return reverse("runs:candidate", args=[candidate.run_id, candidate.pk]) + "#publish"
