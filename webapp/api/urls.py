"""Addresses for programs, and of the pages on which people look after their tokens."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, wraps
from typing import Any, Final

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.urls import URLPattern, include, path, register_converter
from django.urls.converters import StringConverter
from django.views.decorators.csrf import csrf_exempt

from webapp.api import views
from webapp.api.problems import Mistake, problem
from webapp.api.site import ROOT, document, nowhere, site

View = Callable[..., HttpResponseBase]
_PART: Final = re.compile(r"<(?:\w+:)?(\w+)>")
"""Of an address, as Django writes it."""


class Anything(StringConverter):
    """The rest of an address, whatever it is."""

    regex = "(?s:.*)"


def for_programs(view: View) -> View:
    """Without a door that leads to sign-in, without a page for a method that it does not know, and with no word in vain: what an
    operation does not ask for is refused.
    """

    @login_not_required
    @wraps(view)
    def answered(request: HttpRequest, *parts: Any, **names: Any) -> HttpResponseBase:
        if mistakes := [Mistake(at=f"query.{name}", detail="is not known here") for name in _unknown(request)]:
            return problem(422, "The request is not as it should be: see what is wrong.", mistakes)
        answer = view(request, *parts, **names)
        if isinstance(answer, HttpResponseNotAllowed):
            allowed = ", ".join(sorted(answer["Allow"].split(", ")))
            return problem(405, f"{request.method} is not known here; known are {allowed}.", headers={"Allow": allowed})
        return answer

    return answered


def _unknown(request: HttpRequest) -> list[str]:
    """Words of the query that the operation has no use for. Of a method that is none, nothing is unknown."""
    template = _PART.sub(r"{\1}", f"/{request.resolver_match.route}") if request.resolver_match else ""
    method = "get" if request.method == "HEAD" else (request.method or "").lower()
    known = _queries().get((template, method))
    return [] if known is None else sorted(set(request.GET) - known)


@cache
def _queries() -> dict[tuple[str, str], set[str]]:
    """By address and method: the words that a query may have, as the document says."""
    return {
        (path, method): {one["name"] for one in operation["parameters"] if one["in"] == "query"}
        for path, operations in document()["paths"].items()
        for method, operation in operations.items()
    }


def _programs() -> list[URLPattern]:
    """One for each operation; whatever else lies below them is nowhere."""
    operations = [pattern for pattern in site.urls[0] if isinstance(pattern, URLPattern) and pattern.name != "api-root"]
    for pattern in operations:
        pattern.callback = for_programs(pattern.callback)
    return [*operations, path("<anything:rest>", csrf_exempt(login_not_required(nowhere)), name="nowhere")]


app_name = "api"
register_converter(Anything, "anything")
urlpatterns = [
    path("account/tokens/", views.tokens, name="tokens"),
    path("account/tokens/<int:token_id>/revoke/", views.revoke, name="revoke"),
    path("api/docs/", views.docs, name="docs"),
    path(f"{ROOT}openapi.json", views.document, name="document"),
    path(ROOT, include(_programs())),
]
