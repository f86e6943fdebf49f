"""Addresses for programs, and of the pages on which people look after their tokens."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.urls import URLPattern, include, path
from django.views.decorators.csrf import csrf_exempt

from webapp.api import views
from webapp.api.problems import problem
from webapp.api.site import ROOT, nowhere, site

View = Callable[..., HttpResponseBase]


def for_programs(view: View) -> View:
    """Without a door that leads to sign-in, and without a page for a method that it does not know."""

    @login_not_required
    @wraps(view)
    def answered(request: HttpRequest, *parts: Any, **names: Any) -> HttpResponseBase:
        answer = view(request, *parts, **names)
        if isinstance(answer, HttpResponseNotAllowed):
            allowed = ", ".join(sorted(answer["Allow"].split(", ")))
            return problem(405, f"{request.method} is not known here; known are {allowed}.", headers={"Allow": allowed})
        return answer

    return answered


def _programs() -> list[URLPattern]:
    """One for each operation; whatever else lies below them is nowhere."""
    operations = [pattern for pattern in site.urls[0] if isinstance(pattern, URLPattern) and pattern.name != "api-root"]
    for pattern in operations:
        pattern.callback = for_programs(pattern.callback)
    return [*operations, path("<path:rest>", csrf_exempt(login_not_required(nowhere)), name="nowhere")]


app_name = "api"
urlpatterns = [
    path("account/tokens/", views.tokens, name="tokens"),
    path("account/tokens/<int:token_id>/revoke/", views.revoke, name="revoke"),
    path("api/docs/", views.docs, name="docs"),
    path(f"{ROOT}openapi.json", views.document, name="document"),
    path(ROOT, include(_programs())),
]
