"""Everybody in this process who watches the same run: one subscription, one query and one encoding for all of them.

Told apart from sockets so that what is kept for each is small and known: the number up to which a watcher was told, and the hints of the
last quarter of a second. Whoever is slow is told later, and of all that has come since in one frame.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

from channels.db import database_sync_to_async
from channels.layers import get_channel_layer

from webapp.runs.events import group_name
from webapp.runs.live import series

PERIOD_SECONDS: Final = 0.25
"""Between two frames to a socket. What comes after a silence is told at once; what comes all the time is drawn once a second, and every
frame costs the browser a millisecond.
"""


class Watcher:
    """What one socket has been told, and what it is to be told next. Events up to `newest` exist; `hints` may be lost."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.newest = series.NOTHING_SEEN
        self._hints: Mapping[object, str] = {}
        self._told = asyncio.Event()

    def tell(self, newest: int, hints: Mapping[object, str] | None = None) -> None:
        """There may be something new. Hints that still wait are replaced: they are old."""
        self.newest = max(self.newest, newest)
        if hints:
            self._hints = hints
        self._told.set()

    async def told(self) -> list[str]:
        """Waits until there may be something new; the hints, encoded."""
        await self._told.wait()
        self._told.clear()
        hints, self._hints = self._hints, {}
        return list(hints.values())


class Audience:
    """The watchers of one run. It listens from the first to the last of them."""

    def __init__(self, run_id: UUID) -> None:
        self.watchers: set[Watcher] = set()
        self._run_id = run_id
        self._newest = series.NOTHING_SEEN
        self._hints: dict[object, str] = {}
        self._due = asyncio.Event()
        self._readings: dict[tuple[int, int], asyncio.Task[tuple[int, str]]] = {}
        self._opening = asyncio.create_task(self._open())
        self._tasks: list[asyncio.Task[None]] = []

    async def opened(self) -> None:
        """Returns once it listens; RedisError or OSError when there is no queue to listen to."""
        await asyncio.shield(self._opening)

    async def frame(self, after: int, seq: int) -> tuple[int, str]:
        """The frame for a watcher that knows events up to `after` and has heard that `seq` exists; and the number up to which it tells.

        Watchers ask the same question at the same moment: one query answers all of them.
        """
        task = self._readings.get((after, seq))
        if task is None:
            task = self._readings[after, seq] = asyncio.create_task(_read(self._run_id, after))
            task.add_done_callback(lambda _: self._readings.pop((after, seq), None))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Stop listening."""
        for task in (self._opening, *self._tasks):
            task.cancel()
        await asyncio.gather(self._opening, *self._tasks, return_exceptions=True)

    async def _open(self) -> None:
        layer = get_channel_layer()
        channel = await layer.new_channel()
        await layer.group_add(group_name(self._run_id), channel)
        self._tasks = [asyncio.create_task(self._listen(layer, channel)), asyncio.create_task(self._pace())]

    async def _listen(self, layer: Any, channel: str) -> None:
        try:
            while True:
                self._take(await layer.receive(channel))
        finally:
            await layer.group_discard(group_name(self._run_id), channel)

    def _take(self, message: dict[str, Any]) -> None:
        """Of hints about the same thing the latest counts."""
        kind = message["type"].removeprefix("run.")
        if kind == "events":
            self._newest = max(self._newest, message["seq"])
        else:
            self._hints[kind, message.get("candidate"), message.get("export")] = text(message | {"type": kind})
        self._due.set()

    async def _pace(self) -> None:
        """Tell everybody at once, and what comes meanwhile together a little later."""
        while True:
            await self._due.wait()
            self._due.clear()
            hints, self._hints = self._hints, {}
            for watcher in self.watchers:
                watcher.tell(self._newest, hints)
            await asyncio.sleep(PERIOD_SECONDS)


_audiences: dict[UUID, Audience] = {}


@asynccontextmanager
async def watching(run_id: UUID, watcher: Watcher) -> AsyncIterator[Audience]:
    """The run's audience with this watcher among it; RedisError or OSError when there is no queue to listen to."""
    audience = _audiences.get(run_id) or _audiences.setdefault(run_id, Audience(run_id))
    audience.watchers.add(watcher)
    try:
        await audience.opened()
        yield audience
    finally:
        audience.watchers.discard(watcher)
        if not audience.watchers and _audiences.get(run_id) is audience:
            del _audiences[run_id]
            await audience.close()


def text(frame: Any) -> str:
    """A frame as it travels."""
    return json.dumps(frame, ensure_ascii=False, separators=(",", ":"))


async def _read(run_id: UUID, after: int) -> tuple[int, str]:
    """In any thread: the questions of many sockets whether they still may listen wait for each other in one, and this for none."""
    found: tuple[int, str] = await database_sync_to_async(_frame, thread_sensitive=False)(run_id, after)
    return found


def _frame(run_id: UUID, after: int) -> tuple[int, str]:
    """Encoded in the thread that reads: a snapshot of a big run takes some milliseconds."""
    found = series.catch_up(run_id, after)
    return found["seq"], text(found)
