"""Around the whole site: counts and times what is asked, and has log records say which run or candidate it was about."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from django.conf import settings
from django.urls import Resolver404, ResolverMatch, resolve

from webapp.logs import about
from webapp.system.metrics import REQUESTS, SECONDS, SOCKETS

METHODS: Final = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def observed(application: Application) -> Application:
    """The ASGI application, observed."""

    async def observe(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            with SOCKETS.track_inprogress():
                await application(scope, receive, send)
            return
        match = _match(scope["path"])
        route = match.view_name if match else "static" if scope["path"].startswith(settings.STATIC_URL) else "unknown"
        ids = {name.removesuffix("_id"): value for name, value in match.kwargs.items()} if match else {}
        ids = {name: ids.get(name) for name in ("run", "candidate", "export")}
        with about(route=route, **ids):
            await application(scope, receive, _timed(send, route, scope["method"]))

    return observe


def _timed(send: Send, route: str, method: str) -> Send:
    """`send`, which takes note of when and how the answer begins."""
    began = time.perf_counter()

    async def timed(message: Message) -> None:
        if message["type"] == "http.response.start":
            SECONDS.labels(route).observe(time.perf_counter() - began)
            REQUESTS.labels(route, method if method in METHODS else "other", str(message["status"])).inc()
        await send(message)

    return timed


def _match(path: str) -> ResolverMatch | None:
    try:
        return resolve(path)
    except Resolver404:
        return None
