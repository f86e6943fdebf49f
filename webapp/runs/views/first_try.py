"""Trying one candidate before a budget is spent: the starting point of the run that the form describes is asked a few questions."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from webapp.accounts.requests import SignedIn
from webapp.quotas import QuotaError
from webapp.runs.launching.forms.run_form import RunForm
from webapp.runs.launching.outlook import starting_point
from webapp.runs.views import new
from webapp.trials.actions import start
from webapp.trials.models import Trial


@require_POST
def first_try(request: SignedIn) -> HttpResponse:
    """Begin the trial of a form with which nothing is wrong. htmx gets the trial alone, others its page."""
    form = RunForm(request.user, request.POST)
    if not form.is_valid() or form.planned is None:
        return _refused(request, form, "what stands in the way of a launch stands in the way of this, too.")
    config = form.planned.config
    name = f"Starting point: {form.planned.sentence}"
    try:
        trial = start(request.user, starting_point(config), [asked.spec for asked in config.objectives], name)
    except QuotaError as error:
        return _refused(request, form, f"{error}.")
    if request.htmx:
        return render(request, "trials/_trial.html", {"trial": Trial.objects.get(pk=trial.pk)})
    return redirect("trials:detail", trial.pk)


def _refused(request: SignedIn, form: RunForm, reason: str) -> HttpResponse:
    if request.htmx:
        return render(request, "trials/_refused.html", {"reason": reason})
    if not form.errors:
        form.add_error(None, reason)
    return new.page(request, form)
