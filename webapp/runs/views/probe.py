"""Asking what each layer is worth."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from webapp.accounts.requests import SignedIn
from webapp.runs import probes
from webapp.runs.config import RunConfig
from webapp.sharing.access import editable_by, run_or_refusal


@require_POST
def ask(request: SignedIn, run_id: UUID, candidate_id: int) -> HttpResponse:
    """Ask for a candidate of a search for a path with each of its layers or hops left out, and back to where the bars grow."""
    run = run_or_refusal(editable_by, request.user, run_id)
    whole = get_object_or_404(run.candidates, pk=candidate_id)
    if RunConfig.from_json(run.config).path is None:
        raise Http404("this run does not search for a path")
    if n := probes.ask_each(whole):
        messages.success(request, f"Asked for {whole.name} without one of its layers, {n} times.")
    else:
        why = "this run has failed" if run.state == "failed" else "all of it is asked or scored"
        messages.error(request, f"There is nothing more to ask of {whole.name}: {why}.")
    return redirect(f"{reverse('runs:detail', args=[run.pk])}#worth-{whole.pk}")
