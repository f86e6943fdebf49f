"""Is this installation well? One page for people, two addresses for machines."""

from __future__ import annotations

from typing import get_args

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST

from webapp.accounts.requests import SignedIn
from webapp.system import metrics as exported
from webapp.system import status
from webapp.system.checks import State, checks


@require_safe
def page(request: SignedIn) -> HttpResponse:
    """Services, workers, ledger, disk; htmx gets the part that changes."""
    found = checks()
    context = {
        "checks": found,
        "n_unwell": sum(check.state != "ok" for check in found),
        "workers": status.workers(),
        "version": status.code_version(),
        "data_folder": settings.DATA_DIR,
    }
    return render(request, "system/_status.html" if request.htmx else "system/page.html", context)


@login_not_required
@never_cache
@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """503 while the database does not answer, for nothing can be served then; else 200, whatever else is wrong.

    Anybody may ask: it says how things are, in three words, and no more.
    """
    found = {check.name.lower(): check.state for check in checks()}
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
