"""Asking a model a few questions, and looking at what it says."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from webapp.accounts.requests import SignedIn
from webapp.quotas import QuotaError
from webapp.trials import actions
from webapp.trials.forms import CandidateForm, TrialForm, Wanted, wanted_of
from webapp.trials.models import Trial


@require_http_methods(["GET", "HEAD", "POST"])
def start(request: SignedIn) -> HttpResponse:
    """Choose a model and a benchmark, or a candidate by `candidate=`; posted, the trial begins. Below are one's earlier trials.

    htmx gets the trial alone, others its page.
    """
    asked = request.POST if request.method == "POST" else request.GET
    if "candidate" in asked:
        candidate = CandidateForm(asked).chosen(request.user)
        wanted, context = wanted_of(candidate), {"candidate": candidate}
        return _begun(request, wanted) if request.method == "POST" else _page(request, context | {"wanted": wanted})
    if request.method != "POST":
        return _page(request, {"form": TrialForm(request.user, initial=request.GET.dict())})
    form = TrialForm(request.user, request.POST)
    if form.is_valid():
        return _begun(request, form.wanted())
    if request.htmx:
        return _refused(request, " ".join(str(error) for errors in form.errors.values() for error in errors))
    return _page(request, {"form": form})


@never_cache
@require_safe
def detail(request: SignedIn, trial_id: UUID) -> HttpResponse:
    """One trial; for htmx only its part, which asks for itself again until the trial has ended."""
    trial = _own(request, trial_id)
    return render(request, "trials/_trial.html" if request.htmx else "trials/detail.html", {"trial": trial})


@require_POST
def forget(request: SignedIn, trial_id: UUID) -> HttpResponse:
    """Cancel what is under way, or take it off the list."""
    actions.forget(_own(request, trial_id))
    return redirect("trials:start")


def _begun(request: SignedIn, wanted: Wanted) -> HttpResponse:
    try:
        trial = actions.start(request.user, wanted.recipe, wanted.benchmarks, wanted.name)
    except QuotaError as error:
        if request.htmx:
            return _refused(request, f"{error}.")
        messages.error(request, str(error))
        return redirect("trials:start")
    if request.htmx:
        return render(request, "trials/_trial.html", {"trial": Trial.objects.get(pk=trial.pk)})
    return redirect("trials:detail", trial.pk)


def _refused(request: SignedIn, reason: str) -> HttpResponse:
    return render(request, "trials/_refused.html", {"reason": reason})


def _page(request: SignedIn, context: dict[str, object]) -> HttpResponse:
    trials = Trial.objects.filter(owner=request.user).defer("recipe")
    return render(request, "trials/start.html", context | {"trials": trials, "n_questions": actions.N_QUESTIONS})


def _own(request: SignedIn, trial_id: UUID) -> Trial:
    return get_object_or_404(Trial, pk=trial_id, owner=request.user)
