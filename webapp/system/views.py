"""Is this installation well, and what does it hold? A page of tabs for people, two addresses for machines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, get_args

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from prometheus_client import CONTENT_TYPE_LATEST

from merging.words import counted, size
from webapp.accounts.requests import SignedIn
from webapp.hub.removals import removals_of
from webapp.runs.invariants import INVARIANTS
from webapp.system import checks, crew, limits, overview, status, storage
from webapp.system import metrics as exported
from webapp.system.checks import State
from webapp.system.forms import ReclaimForm
from webapp.system.pills import pills as shown_pills


@require_safe
def page(request: SignedIn) -> HttpResponse:
    """One tab, which is in the address; htmx gets the part that changes."""
    tab = request.GET.get("tab", "overview")
    if tab not in TABS:
        tab = "overview"
    context = {"tab": tab, "tabs": tuple(TABS), **TABS[tab](request)}
    return render(request, f"system/_{tab}.html" if request.htmx else "system/page.html", context)


@require_safe
def pills(request: SignedIn) -> HttpResponse:
    """Those of the bar, anew."""
    return render(request, "system/_pills.html", {"pills": shown_pills()})


@require_POST
def drain(request: SignedIn, worker: str) -> HttpResponse:
    """Staff has a worker take nothing new; it finishes what it has."""
    return _drained(request, worker, False, f"{worker} finishes what it has and takes nothing new.")


@require_POST
def resume(request: SignedIn, worker: str) -> HttpResponse:
    """Staff lets it take work again."""
    return _drained(request, worker, True, f"{worker} takes work again.")


@require_POST
def reclaim(request: SignedIn) -> HttpResponse:
    """Staff removes downloads that were built long ago and that nobody needs."""
    _check_staff(request)
    form = ReclaimForm(request.POST)
    if not form.is_valid():
        raise Http404
    gone = storage.reclaim(form.cleaned_data["older"])
    messages.success(request, f"{counted(len(gone.exports), 'export')} removed, {size(gone.n_bytes)} free again.")
    return redirect(reverse("system:page") + "?tab=storage")


def _overview(request: SignedIn) -> dict[str, Any]:
    found = overview.overview()
    has_database = found[0].state != "failing"
    return {
        "checks": found,
        "n_unwell": sum(check.state != "ok" for check in found),
        "sentence": overview.sentence(status.workers()) if has_database else "",
        "version": status.code_version(),
        "data_folder": settings.DATA_DIR,
    }


def _workers(request: SignedIn) -> dict[str, Any]:
    members = crew.crew(request.user)
    losses = crew.losses(request.user, members)
    stocks = crew.on_their_way() if request.user.is_staff else []
    return {"members": members, "losses": losses, "join": crew.join_command(), "stocks": stocks}


def _storage(request: SignedIn) -> dict[str, Any]:
    found: dict[str, Any] = {
        "rooms": storage.rooms(),
        "disk": checks.disk(),
        "fetched": removals_of(request.user),
    }
    if request.user.is_staff and not request.htmx:
        form = ReclaimForm(request.GET) if "older" in request.GET else ReclaimForm()
        found["form"] = form
        if form.is_bound and form.is_valid():
            found["reclaimable"] = storage.reclaimable(form.cleaned_data["older"])
    return found


def _health(request: SignedIn) -> dict[str, Any]:
    ledger = checks.ledger()
    broken = (
        {violation.name: violation.count for violation in checks.broken_invariants()}
        if ledger.state == "failing"
        else {}
    )
    return {
        "ledger": ledger,
        "invariants": [(invariant, broken.get(invariant.name, 0)) for invariant in INVARIANTS],
        "health": request.build_absolute_uri(reverse("health")),
        "metrics": request.build_absolute_uri(reverse("metrics")),
        "has_token": bool(settings.METRICS_TOKEN),
    }


def _limits(request: SignedIn) -> dict[str, Any]:
    return {"limits": limits.limits(request.user)}


TABS: Final[dict[str, Callable[[SignedIn], dict[str, Any]]]] = {
    "overview": _overview, "workers": _workers, "storage": _storage, "health": _health, "limits": _limits,
}  # fmt: skip


def _drained(request: SignedIn, worker: str, takes_work: bool, sentence: str) -> HttpResponse:
    _check_staff(request)
    if "\0" in worker or not crew.drain(worker, takes_work):
        raise Http404
    messages.success(request, sentence)
    return redirect(reverse("system:page") + "?tab=workers")


def _check_staff(request: SignedIn) -> None:
    if not request.user.is_staff:
        raise PermissionDenied("Only who looks after this server may do that.")


@login_not_required
@never_cache
@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """503 while the database does not answer, for nothing can be served then; else 200, whatever else is wrong.

    Anybody may ask: it says how things are, in three words, and no more.
    """
    found = {check.name.lower(): check.state for check in checks.checks()}
    worst = max(found.values(), key=get_args(State).index)
    return JsonResponse({"status": worst, **found}, status=503 if found["database"] == "failing" else 200)


@login_not_required
@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """For Prometheus, which brings PROGENY_METRICS_TOKEN, and for staff. Without a token set, for staff alone."""
    if not _has_token(request):
        if not request.user.is_authenticated:
            return HttpResponse(
                "A token is needed.\n", status=401, headers={"WWW-Authenticate": "Bearer"}, content_type="text/plain"
            )
        if not request.user.is_staff:
            raise PermissionDenied("only staff reads metrics")
    return HttpResponse(exported.text(), content_type=CONTENT_TYPE_LATEST)


def _has_token(request: HttpRequest) -> bool:
    expected = settings.METRICS_TOKEN
    return bool(expected) and constant_time_compare(request.headers.get("Authorization", ""), f"Bearer {expected}")
