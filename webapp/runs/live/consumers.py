"""The websocket of a live run: what a watcher missed, then what is new, numbered without gap. Reads rows; decides nothing.

Frames are JSON: a snapshot or events (`series.Snapshot`, `series.Events`), or a hint of type `progress` or `export`, which may be lost.
Close codes: 4401 not signed in (any more), 4403 opened by another site's page, 4404 no such run of yours, 4008 too slow: come back and
catch up, 4029 too many pages open, 1003 a message came and none is expected, 1013 no queue: try later.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any, Final
from urllib.parse import parse_qs
from uuid import UUID

from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import User
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest
from redis.exceptions import RedisError

from webapp.runs.live import series
from webapp.runs.live.audiences import Audience, Watcher, watching
from webapp.sharing.access import runs_of

NOT_SIGNED_IN: Final = 4401
FOREIGN_PAGE: Final = 4403
NOT_FOUND: Final = 4404
TOO_SLOW: Final = 4008
TOO_MANY: Final = 4029
NOTHING_EXPECTED: Final = 1003
TRY_LATER: Final = 1013
TICK_SECONDS: Final = 10.0
"""How often a socket asks whether it still may listen, and whether a hint was lost."""
SLOW_SECONDS: Final = 10.0
"""What a frame may take to leave: the network's buffers are full for so long only when nobody reads."""
MAX_SOCKETS: Final = 20
"""Of one person in one process; a page that gets none asks for history instead."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
log = logging.getLogger(__name__)
_n_sockets: Counter[int] = Counter()


async def watch_run(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI application of one socket. `?last=` is the number of the newest event that it knows; without it, it knows nothing."""
    await receive()  # websocket.connect
    await _RunSocket(scope, receive, _until_closed(send)).serve()


class _RunSocket:
    """One watcher of one run."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._run_id: UUID = scope["url_route"]["kwargs"]["run_id"]
        self._watcher = Watcher(_last(scope))

    async def serve(self) -> None:
        """Without queue or database there is nothing to listen to: the page asks for history instead."""
        await self._send({"type": "websocket.accept"})
        with ExitStack() as seat:  # kept until the peer is gone: one that reads nothing hears of its end late or never
            try:
                code = await self._watch(seat)
            except (RedisError, OSError, DatabaseError, InterfaceError) as error:
                log.warning("a watcher was sent away: %s", error)
                code = TRY_LATER
            if code is not None:
                await self._send({"type": "websocket.close", "code": code})

    async def _watch(self, seat: ExitStack) -> int | None:
        """Let in whoever may see the run, listen, and only then send what was missed: nothing falls between. The close code, or None."""
        if not _same_origin(self._scope):
            return FOREIGN_PAGE
        person, refusal = await _person(self._scope, self._run_id)
        if refusal:
            return refusal
        if seat.enter_context(_counted(person)):
            return TOO_MANY
        async with watching(self._run_id, self._watcher) as audience:
            return await _first(self._hear(), self._tell(audience), self._tick())

    async def _hear(self) -> int | None:
        """Until the peer leaves. Pages of ours say nothing; what others say is read no further."""
        message = await self._receive()
        return None if message["type"] == "websocket.disconnect" else NOTHING_EXPECTED

    async def _tell(self, audience: Audience) -> int | None:
        """A first frame in any case, so that the page knows that the line is open; then whatever is new."""
        watcher = self._watcher
        try:
            watcher.last, frame = await audience.frame(watcher.last, series.NOTHING_SEEN)
            await self._send_text(frame)
            while True:
                for hint in await watcher.told():
                    await self._send_text(hint)
                if watcher.newest > watcher.last:
                    upto, frame = await audience.frame(watcher.last, watcher.newest)
                    if upto > watcher.last:
                        watcher.last = upto
                        await self._send_text(frame)
        except TimeoutError:
            return TOO_SLOW

    async def _send_text(self, frame: str) -> None:
        async with asyncio.timeout(SLOW_SECONDS):
            await self._send({"type": "websocket.send", "text": frame})

    async def _tick(self) -> int | None:
        """At moments of each socket's own, so that many do not ask the database together."""
        while True:
            await asyncio.sleep(TICK_SECONDS * random.uniform(0.8, 1.2))
            try:
                _, refusal = await _person(self._scope, self._run_id)
                if refusal:
                    return refusal
                self._watcher.tell(await database_sync_to_async(series.newest_seq)(self._run_id))
            except (DatabaseError, InterfaceError) as error:
                log.warning("a watcher waits for the database: %s", error)


async def _first(*works: Coroutine[Any, Any, int | None]) -> int | None:
    """What the first of these to end returns or raises; the others are ended."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return done.pop().result()


@contextmanager
def _counted(person: int) -> Iterator[bool]:
    """Count a socket of this person. True when it is one too many."""
    _n_sockets[person] += 1
    try:
        yield _n_sockets[person] > MAX_SOCKETS
    finally:
        _n_sockets[person] -= 1
        if not _n_sockets[person]:
            del _n_sockets[person]


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


def _last(scope: Scope) -> int:
    return series.position(parse_qs(scope["query_string"].decode("latin1")).get("last", [""])[-1])


def _same_origin(scope: Scope) -> bool:
    """The page that opened the socket is one of ours: same host and port, or a trusted origin, as for forms."""
    headers = dict(scope["headers"])
    origin = headers.get(b"origin", b"").decode("latin1")
    host = headers.get(b"host", b"").decode("latin1")
    schemes = ("https",) if settings.SESSION_COOKIE_SECURE else ("http", "https")
    return origin in [f"{scheme}://{host}" for scheme in schemes] or origin in settings.CSRF_TRUSTED_ORIGINS


async def _person(scope: Scope, run_id: UUID) -> tuple[int, int | None]:
    """Whose socket this is, and why it may not listen (any more), as a close code. The session is read anew: people sign out."""
    found: tuple[int, int | None] = await database_sync_to_async(_person_now)(scope, run_id)
    return found


def _person_now(scope: Scope, run_id: UUID) -> tuple[int, int | None]:
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(scope["session"].session_key)
    user = get_user(request)
    if not isinstance(user, User):
        return 0, NOT_SIGNED_IN
    return user.pk, None if runs_of(user).filter(pk=run_id).exists() else NOT_FOUND
