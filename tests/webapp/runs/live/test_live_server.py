"""The web server as a process of its own, with real sockets: killed under its watchers, and watched by some who read nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from channels.layers import get_channel_layer
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.frames import CloseCode

from tests.conftest import PATIENCE, database_url, free_port
from tests.webapp.runs.rows import make_run
from webapp.env import BASE_DIR
from webapp.runs import events
from webapp.runs.live import consumers
from webapp.runs.models import Event, Run

pytestmark = pytest.mark.django_db(transaction=True)
PAYLOAD = {"state": "running", "message": "x" * 300, "stopping": False}
EXTRA_MEMORY = 50e6


@pytest.fixture
def run(owner: User) -> Run:
    return make_run(owner, n_generations=1, population=4)


def write(run: Run, n: int) -> int:
    """So many events in one transaction; the number of the last."""
    try:
        with transaction.atomic():
            newest = Run.objects.select_for_update().get(pk=run.pk).next_seq + n - 1
            rows = [Event(run=run, seq=newest - i, kind="run.state", payload=PAYLOAD) for i in range(n)]
            Event.objects.bulk_create(rows)
            Run.objects.filter(pk=run.pk).update(next_seq=newest + 1)
        return newest
    finally:
        connection.close()


@contextmanager
def served(port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The web server as a process of its own on the test database, with the sessions of the test's clients."""
    environment = {
        **os.environ,
        "DATABASE_URL": database_url(),
        "PROGENY_SECRET_KEY": settings.SECRET_KEY,
    }
    with log.open("wb") as stream:
        words = [sys.executable, "manage.py", "web", "--port", str(port)]
        process = subprocess.Popen(words, cwd=BASE_DIR, env=environment, stdout=stream, stderr=stream)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE)


async def announced(run: Run, n: int) -> int:
    newest = await asyncio.to_thread(write, run, n)
    await get_channel_layer().group_send(events.group_name(run.pk), {"type": "run.events", "seq": newest})
    return newest


class Watcher:
    """A page: what it has heard, and how it comes back."""

    def __init__(self, run: Run, client: Client, port: int) -> None:
        self.run = run
        name = settings.SESSION_COOKIE_NAME
        self._headers = {"Cookie": f"{name}={client.cookies[name].value}", "Origin": f"http://127.0.0.1:{port}"}
        self._address = f"ws://127.0.0.1:{port}/ws/runs/{run.pk}/"
        self.last = self.first = run.next_seq - 1
        self.seqs: list[int] = []
        self.n_times = 0

    async def open(self, **options: Any) -> ClientConnection:
        return await connect(
            f"{self._address}?last={self.last}", additional_headers=self._headers, proxy=None, **options
        )

    async def watch(self) -> None:
        """Until it is cancelled."""
        while True:
            with suppress(OSError, WebSocketException):
                async with await self.open() as line:
                    self.n_times += 1
                    async for text in line:
                        frame = json.loads(text)
                        if frame["type"] == "progress":
                            continue
                        assert frame["type"] == "events"
                        self.seqs += [event["seq"] for event in frame["events"]]
                        self.last = frame["seq"]
            await asyncio.sleep(0.3)


async def until(condition: Any, seconds: float = PATIENCE) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)


async def test_all_watchers_of_a_server_that_was_killed_miss_nothing_and_hear_nothing_twice(
    run: Run, owner_client: Client, tmp_path: Path
) -> None:
    port = free_port()
    watchers = [Watcher(run, owner_client, port) for _ in range(consumers.MAX_SOCKETS)]
    with served(port, tmp_path / "first.log") as web:
        tasks = [asyncio.create_task(watcher.watch()) for watcher in watchers]
        await until(lambda: all(watcher.n_times for watcher in watchers), 60)
        for _ in range(5):
            newest = await announced(run, 3)
        await until(lambda: all(watcher.last == newest for watcher in watchers))
        web.send_signal(signal.SIGKILL)
        await asyncio.to_thread(web.wait)
        await announced(run, 3)
    with served(port, tmp_path / "second.log"):
        newest = await announced(run, 3)
        await until(lambda: all(watcher.last == newest for watcher in watchers), 60)
        for watcher, task in zip(watchers, tasks, strict=True):
            task.cancel()
            assert watcher.seqs == list(range(watcher.first + 1, newest + 1)) and watcher.n_times >= 2
        await asyncio.gather(*tasks, return_exceptions=True)
    assert complaints(tmp_path / "first.log") == complaints(tmp_path / "second.log") == []


@pytest.mark.slow
async def test_watchers_who_read_nothing_cost_little_memory_and_nobody_else_a_frame(
    run: Run, owner_client: Client, tmp_path: Path
) -> None:
    port = free_port()
    with served(port, tmp_path / "web.log") as web:
        good = Watcher(run, owner_client, port)
        task = asyncio.create_task(good.watch())
        await until(lambda: good.n_times, 60)
        stalled = []
        for _ in range(10):
            line = socket.socket()
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.connect(("127.0.0.1", port))
            stalled.append(await Watcher(run, owner_client, port).open(sock=line, ping_interval=None))
        for one in stalled:
            one.transport.pause_reading()
        before, most = resident(web.pid), 0
        for _ in range(60):
            newest = await announced(run, 300)
            await until(lambda newest=newest: good.last == newest)
            most = max(most, resident(web.pid))
        assert most - before < EXTRA_MEMORY
        await asyncio.sleep(consumers.SLOW_SECONDS + 1)
        for one in stalled:
            one.transport.resume_reading()
            with pytest.raises(ConnectionClosed):
                async with asyncio.timeout(20):
                    while True:
                        await one.recv()
            assert one.close_code in (
                consumers.TOO_SLOW,
                CloseCode.ABNORMAL_CLOSURE,
            )  # the latter after 40 s without a pong
        assert good.seqs == list(range(good.first + 1, newest + 1))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert complaints(tmp_path / "web.log") == []


def complaints(log: Path) -> list[str]:
    """What the server said, but for its folder and what it warns of at the start: a power cut would harm the tests' database."""
    return [line for line in log.read_text().splitlines() if not line.startswith(("warning: ", "Data folder: "))]


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
