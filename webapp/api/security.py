"""Who asks, and whether they may, and not too often. Cookies count for nothing here, so no page of another site can ask in one's name."""

from __future__ import annotations

import time
from typing import Final

from django.contrib.auth.models import User
from django.core.cache import cache
from django.http import HttpRequest
from ninja.errors import AuthorizationError
from ninja.security import HttpBearer
from ninja.throttling import BaseThrottle

from webapp.accounts.requests import SignedIn
from webapp.accounts.roles import REFUSAL, is_viewer
from webapp.api.models import Scope, Token
from webapp.api.tokens import holder

WINDOW_SECONDS: Final = 60
MOST: Final = 600
"""Requests of one person in a window, counted by each web server."""
MOST_MADE: Final = 60
"""Of these, such that make something."""


class Asked(SignedIn):
    """A request whose token was found: `user` is its owner."""

    auth: Token


class Bearer(HttpBearer):
    """`Authorization: Bearer TOKEN`, of a token with this scope."""

    openapi_description = "A token from your Account page."

    def __init__(self, scope: Scope) -> None:
        super().__init__()
        self._scope = scope

    def authenticate(self, request: HttpRequest, token: str) -> Token | None:
        found = holder(token)
        if found is None:
            return None
        if self._scope not in found.scopes:
            has = " and ".join(found.scopes)
            raise AuthorizationError(message=f"The token “{found}” has the scope {has}; this needs {self._scope}.")
        if self._scope != "read" and is_viewer(found.owner):
            raise AuthorizationError(message=REFUSAL)
        request.user = found.owner
        return found


class Throttle(BaseThrottle):
    """So many requests of one person in a window of a minute."""

    def __init__(self, name: str, most: int) -> None:
        self._name, self._most = name, most

    def allow_request(self, request: HttpRequest) -> bool:
        user = request.user
        key = f"api.{self._name}.{user.pk if isinstance(user, User) else 0}.{int(time.time()) // WINDOW_SECONDS}"
        cache.add(key, 0, 2 * WINDOW_SECONDS)
        return cache.incr(key) <= self._most

    def wait(self) -> float:
        return WINDOW_SECONDS - time.time() % WINDOW_SECONDS


READ: Final = Bearer("read")
RUNS: Final = Bearer("runs")
EXPORTS: Final = Bearer("exports")
EVERY: Final = Throttle("every", MOST)
MAKING: Final = Throttle("making", MOST_MADE)
