"""Is this installation well? One page for people, one address for machines."""

from __future__ import annotations

from typing import get_args

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from webapp.accounts.requests import SignedIn
from webapp.system import status
from webapp.system.checks import State, checks


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
def health(request: HttpRequest) -> JsonResponse:
    """503 while the database does not answer, for nothing can be served then; else 200, whatever else is wrong.

    Anybody may ask: it says how things are, in three words, and no more.
    """
    found = {check.name.lower(): check.state for check in checks()}
    worst = max(found.values(), key=get_args(State).index)
    return JsonResponse({"status": worst, **found}, status=503 if found["database"] == "failing" else 200)
