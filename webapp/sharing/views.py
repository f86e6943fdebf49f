"""The people of a run: giving and taking roles. Both lead back to the run's page; htmx gets what was refused at the field."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST
from django_htmx.http import HttpResponseClientRefresh

from webapp.accounts.requests import SignedIn
from webapp.runs.models import Run
from webapp.sharing import actions
from webapp.sharing.access import owned_by, run_or_refusal, runs_of
from webapp.sharing.forms import ROLES, ShareForm


@require_POST
def share(request: SignedIn, run_id: UUID) -> HttpResponse:
    """Give somebody a role in one's own run, or another role than before."""
    run = run_or_refusal(owned_by, request.user, run_id)
    form = ShareForm(run, request.POST)
    if form.is_valid():
        actions.share(run, form.person, form.cleaned_data["role"])
        messages.success(request, f"{run.name} is shared with {form.person}, {form.cleaned_data['role']}.")
        if request.htmx:
            return HttpResponseClientRefresh()
    elif request.htmx:
        context = {"run": run, "shares": run.shares.select_related("user"), "roles": ROLES, "form": form}
        return render(request, "sharing/_people.html", context)
    else:
        messages.error(request, " ".join(str(error) for errors in form.errors.values() for error in errors))
    return _people(run)


@require_POST
def unshare(request: SignedIn, run_id: UUID, share_id: int) -> HttpResponse:
    """Take a role away: of anybody in one's own run, and one's own in that of somebody else."""
    run = get_object_or_404(runs_of(request.user), pk=run_id)
    shares = run.shares.select_related("user")
    is_own = run.owner_id == request.user.pk
    found = get_object_or_404(shares if is_own else shares.filter(user=request.user), pk=share_id)
    found.delete()
    if not is_own:
        messages.success(request, f"{run.name} is off your list.")
        return redirect("runs:list")
    messages.success(request, f"{run.name} is no longer shared with {found.user}.")
    return _people(run)


def _people(run: Run) -> HttpResponse:
    return redirect(f"{reverse('runs:detail', args=[run.pk])}#people")
