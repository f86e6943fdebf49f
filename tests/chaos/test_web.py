"""The web server is killed and started anew while people launch, watch and download, and workers work: what was sent twice counts once, who
watches misses nothing and hears nothing twice, and who downloads goes on where it was cut.
"""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import random
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from tests.chaos.stage import Stage, answered
from tests.conftest import free_port, wait_for
from tests.webapp.exports.rows import built
from tests.webapp.runs.choices import Library, form, library
from tests.webapp.runs.live.test_live_server import Watcher, complaints, served
from webapp.runs.models import Run

PATIENCE_SECONDS = 120.0
CSRF = "c" * 32
CONTENT = random.Random(0).randbytes(16_000_000)
PIECE_BYTES = 1 << 16
PIECE_SECONDS = 0.02
"""Five seconds for all of it: longer than a server lives here after the first piece."""


class Web:
    """The web server of a scenario, always at the same port, and a browser whose user is signed in. Every life has a log of its own."""

    def __init__(self, client: Client, folder: Path) -> None:
        self.port = free_port()
        self.logs: list[Path] = []
        self._folder = folder
        self._is_closed = False
        self._lives = ExitStack()
        name = settings.SESSION_COOKIE_NAME
        cookies = f"{name}={client.cookies[name].value}; {settings.CSRF_COOKIE_NAME}={CSRF}"
        self._headers = {"Cookie": cookies, "X-CSRFToken": CSRF, "Content-Type": "application/x-www-form-urlencoded"}

    def start(self) -> None:
        """Returns when it answers."""
        self.logs.append(self._folder / f"web{len(self.logs)}.log")
        self._process = self._lives.enter_context(served(self.port, self.logs[-1]))
        wait_for(self._answers, "the web server answers", PATIENCE_SECONDS)

    def kill(self) -> None:
        """As `kill -9`."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """For good: whoever asks again is told so."""
        self._is_closed = True
        self._lives.close()

    @contextmanager
    def asked(self, method: str, path: str, fields: Any = (), **headers: str) -> Iterator[http.client.HTTPResponse]:
        """The answer; OSError or HTTPException when there is none."""
        assert not self._is_closed
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            line.request(method, path, urlencode(fields, doseq=True), self._headers | headers)
            yield line.getresponse()
        finally:
            line.close()

    def _answers(self) -> bool:
        assert self._process.poll() is None, self.logs[-1].read_text()
        try:
            with self.asked("GET", "/sign-in/"):
                return True
        except OSError:
            return False


def launch(web: Web, chosen: Library, key: str) -> str:
    """Sent until it is answered, and then once more, as by somebody who is not sure. Where both answers lead."""
    questions = {f"n_{split}": "5" for split in ("search", "validation", "final")}
    sent = form(chosen, key=key, name=key, budget="24", population_size="6", **questions)
    found: list[str] = []
    while len(found) < 2:
        try:
            with web.asked("POST", reverse("runs:new"), sent) as answer:
                assert answer.status == 302, answer.status
                found.append(answer.headers["Location"])
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
    assert found[0] == found[1], found
    return found[0]


class Download:
    """Somebody who goes on where it was cut, until everything is there."""

    def __init__(self, web: Web, address: str) -> None:
        self.content = bytearray()
        self.n_cuts = 0
        self._web, self._address = web, address

    def __call__(self) -> None:
        while len(self.content) < len(CONTENT):
            try:
                self._take()
            except (OSError, http.client.HTTPException):
                self.n_cuts += bool(self.content)
                time.sleep(0.05)

    def _take(self) -> None:
        etag = f'"{hashlib.sha256(CONTENT).hexdigest()}"'
        with self._web.asked("GET", self._address, Range=f"bytes={len(self.content)}-", **{"If-Range": etag}) as answer:
            assert answer.status == 206, answer.status
            while piece := answer.read(PIECE_BYTES):
                self.content += piece
                time.sleep(PIECE_SECONDS)


@contextmanager
def audience() -> Iterator[Callable[[Coroutine[Any, Any, None]], Future[None]]]:
    """Lets coroutines run beside the test, until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, loop)
    finally:
        asyncio.run_coroutine_threadsafe(_others_end(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _others_end() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.slow), pytest.param(10, marks=pytest.mark.chaos)])
def test_the_web_server_is_killed_while_people_launch_watch_and_download(stage: Stage, tmp_path: Path, n: int) -> None:
    draw, client = random.Random(n), Client()
    client.force_login(stage.owner)
    chosen, web = library(stage.owner, tmp_path / "library"), Web(client, tmp_path)
    first = stage.launch(1, budget=12)
    export = built(first.candidates.get(name="a"), {"model.safetensors": CONTENT})
    address = reverse("exports:file", args=[export.pk, "model.safetensors"])
    watchers: list[Watcher] = []
    downloads: list[Download] = []
    stage.crew.plan(slowest=0.5)
    for name in ("w1", "w2"):
        stage.crew.start(name)
    with ThreadPoolExecutor(2) as people, audience() as watch, closing(web):
        web.start()
        for i in range(n):
            downloads.append(download := Download(web, address))
            downloading = people.submit(download)
            wait_for(lambda: bool(download.content), "the download has begun", PATIENCE_SECONDS)
            launched = people.submit(launch, web, chosen, f"run {i}")
            time.sleep(draw.uniform(0.0, 0.25))
            web.kill()
            stage.check()
            web.start()
            run = Run.objects.get(pk=launched.result().split("/")[2])
            stage.runs.append(run)
            watchers.append(watcher := Watcher(run, client, web.port))
            watcher.last = watcher.first = 0
            watching = watch(watcher.watch())
            stage.wait_for(lambda: watcher.seqs, "somebody watches")
            web.kill()
            stage.wait_for_ends()
            web.start()
            newest = answered(run.events.count)
            wait_for(lambda: watcher.last == newest or watching.done(), "watchers catch up", PATIENCE_SECONDS)  # noqa: B023
            downloading.result(PATIENCE_SECONDS)
    assert Run.objects.count() == len(stage.runs) == n + 1
    assert all(watcher.seqs == list(range(1, watcher.run.events.count() + 1)) for watcher in watchers)
    assert all(download.content == CONTENT and download.n_cuts for download in downloads)
    assert [line for log in web.logs for line in complaints(log)] == []
    cuts = sum(download.n_cuts for download in downloads)
    stage.figures.add("web server killed", **{"kill -9": 2 * n, "downloads cut": cuts}, **stage.judge(faults=0))
