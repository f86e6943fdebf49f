"""Stars, notes and tags: each answers with its part of the page, and leads back to the candidate where scripts are off."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from webapp.accounts.requests import SignedIn
from webapp.marks import actions, queries
from webapp.marks.forms import NoteForm
from webapp.runs.models import Candidate, Run
from webapp.sharing.access import editable_by, run_or_refusal


@require_POST
def star(request: SignedIn, run_id: UUID, candidate_id: int) -> HttpResponse:
    """Give one's star with `on=1`; take it back without."""
    run, candidate = _candidate(request, run_id, candidate_id)
    actions.star(candidate, request.user, request.POST.get("on") == "1")
    if not request.htmx:
        return redirect("runs:candidate", run.pk, candidate.pk)
    marked = queries.of_candidate(candidate, request.user)
    return render(request, "marks/_star.html", {"run": run, "candidate": candidate, "marked": marked})


@require_POST
def note(request: SignedIn, run_id: UUID, candidate_id: int) -> HttpResponse:
    """Replace one's note and tags."""
    run, candidate = _candidate(request, run_id, candidate_id)
    form = NoteForm(request.POST)
    if form.is_valid():
        actions.annotate(candidate, request.user, form.cleaned_data["note"], form.cleaned_data["tags"])
    if not request.htmx:
        for errors in form.errors.values():
            messages.error(request, " ".join(map(str, errors)))
        return redirect("runs:candidate", run.pk, candidate.pk)
    context = {"run": run, "candidate": candidate, "marked": queries.of_candidate(candidate, request.user)}
    said = {"note_form": form} if form.errors else {"is_saved": True}
    return render(request, "marks/_notes.html", context | said)


def _candidate(request: SignedIn, run_id: UUID, candidate_id: int) -> tuple[Run, Candidate]:
    run = run_or_refusal(editable_by, request.user, run_id)
    return run, get_object_or_404(run.candidates.select_related("generation"), pk=candidate_id)
