"""What others are told after a commit: a run's watchers that events or progress exist, idle workers that work does.

Everything here is a hint. It is coalesced, it may be lost with Redis, it never raises and never blocks the caller; rows
are the truth, and the reconciler announces again what was not relayed.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeVar
from uuid import UUID

from channels.layers import get_channel_layer
from django.db import DatabaseError, InterfaceError, connection
from django.db.models.functions import Now
from redis.exceptions import RedisError

from webapp import queue
from webapp.runs.events import group_name
from webapp.runs.models import Event, Run

PERIOD_SECONDS: Final = 0.1
SEND_SECONDS: Final = 5.0
log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """Where the work on one candidate stands. Sent to watchers, never stored."""

    candidate: int
    name: str
    split: str
    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class ExportProgress:
    """Where a build for download stands; `progress` is a share in [0, 1]."""

    export: str
    stage: str
    progress: float


class Publisher:
    """One thread with an event loop, because a channel layer belongs to a loop, and one beside it for the database."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._database = ThreadPoolExecutor(1, thread_name_prefix="publisher-database")
        self._news: dict[UUID, bool] = {}
        self._hints: dict[UUID, dict[str, Any]] = {}
        self._flushing: set[UUID] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    def announce(self, run_id: UUID) -> None:
        """Tell watchers up to which number events of the run exist."""
        self._loop.call_soon_threadsafe(self._note, run_id, None)

    def progress(self, run_id: UUID, progress: Progress | ExportProgress) -> None:
        """Tell watchers how far the current work is; only the latest of a tenth of a second is sent."""
        kind = "run.progress" if isinstance(progress, Progress) else "run.export"
        self._loop.call_soon_threadsafe(self._note, run_id, {"type": kind, **asdict(progress)})

    def wake(self) -> None:
        """Tell all workers that there is work."""
        self._database.submit(queue.wake)

    def close(self) -> None:
        """Say what is still to be said, within a second, and end."""
        asyncio.run_coroutine_threadsafe(self._finish(), self._loop)
        self._thread.join(timeout=2 * SEND_SECONDS)
        self._database.submit(_close_connection)
        self._database.shutdown(wait=True)

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.close()

    async def _finish(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)
        self._loop.stop()

    def _note(self, run_id: UUID, hint: dict[str, Any] | None) -> None:
        if hint is None:
            self._news[run_id] = True
        else:
            self._hints[run_id] = hint
        if run_id not in self._flushing:
            self._flushing.add(run_id)
            task = self._loop.create_task(self._flush(run_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _flush(self, run_id: UUID) -> None:
        """Send what there is at once, then again every period until nothing new has come."""
        while run_id in self._news or run_id in self._hints:
            if hint := self._hints.pop(run_id, None):
                await self._send(run_id, hint)
            if self._news.pop(run_id, False):
                await self._relay(run_id)
            await asyncio.sleep(PERIOD_SECONDS)
        self._flushing.discard(run_id)

    async def _relay(self, run_id: UUID) -> None:
        seq = await self._ask(lambda: _newest_event(run_id))
        if seq and await self._send(run_id, {"type": "run.events", "seq": seq}):
            await self._ask(lambda: _mark_relayed(run_id, seq))

    async def _send(self, run_id: UUID, message: dict[str, Any]) -> bool:
        layer = get_channel_layer()
        if layer is None:
            return False
        return await _quietly(layer.group_send(group_name(run_id), message))

    async def _ask(self, question: Callable[[], T]) -> T | None:
        return await self._loop.run_in_executor(self._database, _answer, question)


async def _quietly(sending: Coroutine[Any, Any, None]) -> bool:
    try:
        await asyncio.wait_for(sending, SEND_SECONDS)
    except (RedisError, OSError, TimeoutError) as error:
        log.warning("watchers were not told: %s", error)
        return False
    return True


def _answer(question: Callable[[], T]) -> T | None:
    try:
        return question()
    except (DatabaseError, InterfaceError) as error:
        log.warning("events were not relayed: %s", error)
        connection.close()
        return None


def _newest_event(run_id: UUID) -> int:
    return int(Run.objects.values_list("next_seq", flat=True).filter(pk=run_id).first() or 1) - 1


def _mark_relayed(run_id: UUID, seq: int) -> None:
    Event.objects.filter(run_id=run_id, seq__lte=seq, relayed=None).update(relayed=Now())


def _close_connection() -> None:
    """Of the thread that calls it: `connection` is another one in every thread."""
    connection.close()
