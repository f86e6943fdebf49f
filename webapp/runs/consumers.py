"""The websocket of a live run: what a watcher missed, then what is new, numbered without gap. Reads rows; decides nothing.

Frames are JSON: a snapshot or events (`series.Snapshot`, `series.Events`), or a hint of type `progress` or `export`, which may be lost.
Close codes: 4401 not signed in (any more), 4403 opened by another site's page, 4404 no such run of yours, 1013 no queue: try later.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from importlib import import_module
from typing import Any, Final
from urllib.parse import parse_qs
from uuid import UUID

from channels.auth import get_user
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth.models import User
from django.db import DatabaseError, InterfaceError
from redis.exceptions import RedisError

from webapp.runs import series
from webapp.runs.events import group_name
from webapp.sharing.access import runs_of

NOT_SIGNED_IN: Final = 4401
FOREIGN_PAGE: Final = 4403
NOT_FOUND: Final = 4404
TRY_LATER: Final = 1013
TICK_SECONDS: Final = 10.0
"""How often a socket asks whether it still may listen, and whether a hint was lost."""

Scope = MutableMapping[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]
log = logging.getLogger(__name__)


class Readings:
    """The watchers of a run ask the same question at the same moment: one query answers all of them."""

    def __init__(self) -> None:
        self._open: dict[tuple[UUID, int, int], asyncio.Task[tuple[int, str]]] = {}

    async def frame(self, run_id: UUID, after: int, seq: int) -> tuple[int, str]:
        """The frame for a watcher that knows events up to `after` and has heard that `seq` exists; and the number up to which it tells."""
        key = (run_id, after, seq)
        task = self._open.get(key)
        if task is None:
            task = self._open[key] = asyncio.create_task(_read(run_id, after))
            task.add_done_callback(lambda _: self._open.pop(key, None))
        return await asyncio.shield(task)


class RunConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One watcher of one run. `?last=` is the number of the newest event that it knows; without it, it knows nothing."""

    readings = Readings()
    _ticker: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Callable[..., Any], send: Send) -> None:
        """Serve the socket. Without queue or database there is nothing to listen to: the page asks for history instead."""
        send = _until_closed(send)
        try:
            await super().__call__(scope, receive, send)
        except (RedisError, OSError, DatabaseError, InterfaceError) as error:
            log.warning("a watcher was sent away: %s", error)
            await send({"type": "websocket.close", "code": TRY_LATER})
        finally:
            if self._ticker:
                self._ticker.cancel()

    async def connect(self) -> None:
        """Let in whoever may see the run, listen, and only then send what was missed: nothing falls between."""
        self._run_id: UUID = self.scope["url_route"]["kwargs"]["run_id"]
        self._last = _last(self.scope)
        self._reading = asyncio.Lock()
        await self.accept()
        refusal = FOREIGN_PAGE if not _same_origin(self.scope) else await _refusal(self.scope, self._run_id)
        if refusal:
            await self.close(refusal)
            return
        await self.channel_layer.group_add(group_name(self._run_id), self.channel_name)
        await self._send_new(series.NOTHING_SEEN)
        self._ticker = asyncio.create_task(self._tick())

    async def disconnect(self, code: int) -> None:
        """Stop listening."""
        await self.channel_layer.group_discard(group_name(self._run_id), self.channel_name)

    async def run_events(self, message: dict[str, Any]) -> None:
        """Events up to a number exist."""
        if message["seq"] > self._last:
            await self._send_new(message["seq"])

    async def run_progress(self, message: dict[str, Any]) -> None:
        """What a worker does just now."""
        await self.send(text_data=_text(message | {"type": "progress"}))

    async def run_export(self, message: dict[str, Any]) -> None:
        """How far a build for download is."""
        await self.send(text_data=_text(message | {"type": "export"}))

    async def _send_new(self, seq: int) -> None:
        async with self._reading:
            upto, frame = await self.readings.frame(self._run_id, self._last, seq)
            if upto > self._last or seq == series.NOTHING_SEEN:
                await self.send(text_data=frame)
                self._last = upto

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                if refusal := await _refusal(self.scope, self._run_id):
                    await self.close(refusal)
                    return
                newest = await database_sync_to_async(series.newest_seq)(self._run_id)
                if newest > self._last:
                    await self._send_new(newest)
            except (DatabaseError, InterfaceError) as error:
                log.warning("a watcher waits for the database: %s", error)


def _until_closed(send: Send) -> Send:
    """`send` for as long as somebody is there. A peer that has left is no error anywhere: the server says so by a message of its own."""
    is_closed = False

    async def send_if_open(message: dict[str, Any]) -> None:
        nonlocal is_closed
        if is_closed:
            return
        is_closed = message["type"] == "websocket.close"
        try:
            await send(message)
        except OSError:  # uvicorn's ClientDisconnected
            is_closed = True

    return send_if_open


async def _read(run_id: UUID, after: int) -> tuple[int, str]:
    found = await database_sync_to_async(series.catch_up)(run_id, after)
    return found["seq"], _text(found)


def _text(frame: Any) -> str:
    return json.dumps(frame, ensure_ascii=False, separators=(",", ":"))


def _last(scope: Scope) -> int:
    return series.position(parse_qs(scope["query_string"].decode("latin1")).get("last", [""])[-1])


def _same_origin(scope: Scope) -> bool:
    """The page that opened the socket is one of ours: same host and port, or a trusted origin, as for forms."""
    headers = dict(scope["headers"])
    origin = headers.get(b"origin", b"").decode("latin1")
    host = headers.get(b"host", b"").decode("latin1")
    return origin in (f"http://{host}", f"https://{host}") or origin in settings.CSRF_TRUSTED_ORIGINS


async def _refusal(scope: Scope, run_id: UUID) -> int | None:
    """Why this socket may not listen (any more), as a close code. The session is read anew: people sign out."""
    session = import_module(settings.SESSION_ENGINE).SessionStore(scope["session"].session_key)
    user = await get_user({"session": session})
    if not user.is_authenticated:
        return NOT_SIGNED_IN
    return None if await _may_watch(user, run_id) else NOT_FOUND


@database_sync_to_async  # type: ignore[untyped-decorator]
def _may_watch(user: User, run_id: UUID) -> bool:
    return runs_of(user).filter(pk=run_id).exists()
