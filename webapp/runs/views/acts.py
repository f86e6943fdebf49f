"""The buttons of a run: each does one thing to it, if one may, and says what happened."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from webapp.accounts.requests import SignedIn
from webapp.runs import actions
from webapp.runs.models import Run
from webapp.sharing.access import editable_by, owned_by, run_or_refusal

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@require_POST
def pause(request: SignedIn, run_id: UUID) -> HttpResponse:
    run = run_or_refusal(editable_by, request.user, run_id)
    return _said(
        request, run, actions.pause(run), "Pausing: what is being evaluated still counts.", "There is nothing to pause"
    )


@require_POST
def resume(request: SignedIn, run_id: UUID) -> HttpResponse:
    run = run_or_refusal(editable_by, request.user, run_id)
    return _said(request, run, actions.resume(run), "Resumed exactly where it stopped.", "It was not paused")


@require_POST
def stop(request: SignedIn, run_id: UUID) -> HttpResponse:
    run = run_or_refusal(editable_by, request.user, run_id)
    return _said(request, run, actions.stop(run), "Stopping: the best so far is kept.", "It cannot be stopped")


@require_POST
def rename(request: SignedIn, run_id: UUID) -> HttpResponse:
    run, name = run_or_refusal(editable_by, request.user, run_id), request.POST.get("name", "").strip()
    fits = 0 < len(name) <= 200 and not CONTROL.search(name)
    if fits:
        actions.rename(run, name)
    return _said(request, run, fits, "Renamed.", "A name is one line of 1 to 200 characters")


@require_POST
def delete(request: SignedIn, run_id: UUID) -> HttpResponse:
    run = run_or_refusal(owned_by, request.user, run_id)
    actions.delete(run)
    messages.success(request, f"{run.name} is deleted.")
    return redirect("runs:list")


def _said(request: SignedIn, run: Run, done: bool, good: str, bad: str) -> HttpResponse:
    """Back to where the button was; the page that asked learns the outcome as a toast."""
    if done:
        messages.success(request, good)
    else:
        state = Run.objects.values_list("state", flat=True).get(pk=run.pk)
        messages.error(request, f"{bad}: {run.name} is {state}.")
    back = request.POST.get("back", "")
    safe = url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    return HttpResponseRedirect(back) if safe else redirect("runs:detail", run.pk)
