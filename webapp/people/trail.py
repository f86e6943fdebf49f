"""Middleware that writes the trail: what was done by a request, when it was done. A deed is told after it has happened, by its route."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from django.contrib.auth.models import User
from django.db import DatabaseError
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import Resolver404, resolve
from django.utils.deprecation import MiddlewareMixin

from webapp.api.models import Token
from webapp.people.deeds import DEEDS, READ, Deed
from webapp.people.models import Act
from webapp.people.subjects import Subject, account, subject_of

DONE: Final = (200, 201, 204, 302)
log = logging.getLogger(__name__)


class TrailMiddleware(MiddlewareMixin):
    """Looks at the object before the view, which may remove it, and writes after it."""

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], words: tuple[Any, ...], parts: Mapping[str, Any]
    ) -> None:
        if _deed(request):
            request.subject = subject_of(parts)  # type: ignore[attr-defined]

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        deed = _deed(request)
        if deed and response.status_code in DONE and _is_done(request, response):
            subject = getattr(request, "subject", None) or _made(response)
            try:
                _write(request, deed, subject)
            except DatabaseError:
                log.exception("a deed is not in the trail: %s of %s", deed.words, request.path)
        return response


def write(user: User, deed: Deed, subject: Subject, detail: str = "", token: str = "") -> None:
    """Tell of something that somebody has done."""
    Act.objects.create(
        user=user.pk,
        who=user.get_username(),
        token=token,
        words=deed.words,
        kind=subject.kind,
        key=subject.key,
        name=subject.name,
        owner=subject.owner,
        detail=detail.replace("\0", "")[:200],
    )


def _deed(request: HttpRequest) -> Deed | None:
    match = request.resolver_match
    if match is None or (request.method in ("GET", "HEAD")) != (match.view_name in READ) or request.method == "HEAD":
        return None
    return DEEDS.get(match.view_name)


def _is_done(request: HttpRequest, response: HttpResponseBase) -> bool:
    """A page that comes back as it was sent has done nothing; htmx is answered with a part of one, programs with what they changed."""
    is_page = response.headers.get("Content-Type", "").startswith("text/html") and "HX-Request" not in request.headers
    return response.status_code != 200 or not is_page


def _made(response: HttpResponseBase) -> Subject | None:
    """What a request has made: where the answer leads."""
    try:
        return subject_of(resolve(urlsplit(response.headers.get("Location", "")).path).kwargs)
    except Resolver404:
        return None


def _write(request: HttpRequest, deed: Deed, subject: Subject | None) -> None:
    user = request.user
    if isinstance(user, User):
        said = [request.POST.get(field, "") for field in deed.fields]
        token = getattr(request, "auth", None)
        name = token.name if isinstance(token, Token) else ""
        write(user, deed, subject or account(user), ", ".join(filter(None, said)), name)
