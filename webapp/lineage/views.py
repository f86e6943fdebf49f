"""A candidate on its way to being a parent, and the run that follows another."""

from __future__ import annotations

from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from webapp.accounts.requests import SignedIn
from webapp.lineage import actions
from webapp.lineage.genealogy import picture
from webapp.lineage.models import Adoption, Sequel
from webapp.lineage.queries import sequel_of
from webapp.quotas import QuotaError
from webapp.runs.models import Candidate, Run
from webapp.sharing.access import owned_by, run_or_refusal, runs_of


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def as_parent(request: SignedIn, run_id: UUID, candidate_id: int) -> HttpResponse:
    """Posted, the candidate is asked for as a parent. The page shows how far that is, and leads to a new run with it when it is there."""
    run = run_or_refusal(owned_by, request.user, run_id)
    candidate = get_object_or_404(run.candidates.exclude(kind="parent").select_related("run__owner"), pk=candidate_id)
    if request.method == "POST":
        try:
            actions.adopt(candidate)
        except QuotaError as error:
            messages.error(request, str(error))
            return redirect("runs:candidate", run.pk, candidate.pk)
        return redirect("lineage:as_parent", run.pk, candidate.pk)
    adoption = _adoption(candidate)
    if adoption and adoption.state == "ready":
        address = f"{reverse('runs:new')}?{urlencode({'parent': adoption.parent_id})}"
        return HttpResponseClientRedirect(address) if request.htmx else redirect(address)
    template = "lineage/_as_parent.html" if request.htmx else "lineage/as_parent.html"
    return render(request, template, {"run": run, "candidate": candidate, "adoption": adoption})


@never_cache
@require_safe
def genealogy(request: SignedIn, run_id: UUID) -> HttpResponse:
    """Which runs and models a run came of, and which came of it."""
    run = get_object_or_404(runs_of(request.user), pk=run_id)
    return render(request, "lineage/genealogy.html", {"run": run, "tree": picture(run, request.user)})


@never_cache
@require_safe
def sequel(request: SignedIn, run_id: UUID) -> HttpResponse:
    """What comes after a run, for its page; a link to it leads there."""
    run = get_object_or_404(runs_of(request.user), pk=run_id)
    found = _sequel(request, run)
    if not request.htmx:
        return redirect("runs:detail", run.pk)
    context = {"run": run, "sequel": found, "model_a": actions.model_a(found.first)}
    return render(request, "lineage/_sequel.html", context)


@require_POST
def go_on(request: SignedIn, run_id: UUID) -> HttpResponse:
    """Let the second run follow after all."""
    run = run_or_refusal(owned_by, request.user, run_id)
    found = _sequel(request, run)
    if actions.go_on(found):
        when = (
            "is launched as soon as its model A is built"
            if found.has_first_ended
            else "follows when this search is done"
        )
        messages.success(request, f"The second run {when}.")
    else:
        messages.error(request, "There is nothing to go on with.")
    return redirect("runs:detail", run.pk)


@require_POST
def call_off(request: SignedIn, run_id: UUID) -> HttpResponse:
    """Let no second run follow."""
    run = run_or_refusal(owned_by, request.user, run_id)
    if actions.call_off(_sequel(request, run)):
        messages.success(request, "No second run follows.")
    else:
        messages.error(request, "The second run is there already. Stop it on its own page.")
    return redirect("runs:detail", run.pk)


def _adoption(candidate: Candidate) -> Adoption | None:
    rows = Adoption.objects.filter(candidate=candidate).exclude(parent__hidden_at__isnull=False)
    return rows.select_related("candidate").first()


def _sequel(request: SignedIn, run: Run) -> Sequel:
    found = sequel_of(run, request.user)
    if found is None:
        raise Http404("no run follows this one")
    return found
