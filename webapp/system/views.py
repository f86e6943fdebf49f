"""Is this installation well? One page for people, one address for machines."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from webapp.accounts.requests import SignedIn
from webapp.system import status


def page(request: SignedIn) -> HttpResponse:
    """Services, workers, disk. `?part=workers` answers with the part that changes."""
    seen = status.workers()
    context = {
        "checks": [status.database(), status.broker(), status.disk()],
        "workers": seen,
        "any_alive": any(one.alive for one in seen),
        "version": status.code_version(),
        "data_folder": settings.DATA_DIR,
    }
    return render(request, "system/_status.html" if request.htmx else "system/page.html", context)


@login_not_required
def health(request: HttpRequest) -> JsonResponse:
    """200 while the database answers: without the queue everything still works, only later."""
    checks = {check.name.lower(): check.works for check in (status.database(), status.broker())}
    return JsonResponse(checks, status=200 if checks["database"] else 503)
