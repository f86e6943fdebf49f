"""The web server is killed and started anew while people launch and watch and workers work: what was sent twice counts once, and who
watches misses nothing and hears nothing twice.
"""

from __future__ import annotations

import asyncio
import http.client
import random
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.test import Client

from tests.chaos.stage import Stage, answered
from tests.conftest import free_port
from tests.webapp.runs.choices import form, library
from tests.webapp.runs.test_live_server import Watcher, complaints, served
from webapp.runs.models import Run

CSRF = "c" * 32
PATIENCE_SECONDS = 60.0


class Web:
    """The web server of a scenario, always at the same port. Every life has a log of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.logs: list[Path] = []
        self._folder = folder
        self._lives = ExitStack()

    def start(self) -> None:
        """Returns when it answers."""
        self.logs.append(self._folder / f"web{len(self.logs)}.log")
        self._process = self._lives.enter_context(served(self.port, self.logs[-1]))
        _until(lambda: self.ask("GET", "/sign-in/")[0] == 200)

    def kill(self) -> None:
        """As `kill -9`."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        self._lives.close()

    def ask(self, method: str, path: str, cookie: str = "", fields: Mapping[str, Any] | None = None) -> tuple[int, str]:
        """The status and where it leads; 0 when there is no answer."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Cookie": f"{cookie}; {settings.CSRF_COOKIE_NAME}={CSRF}", "X-CSRFToken": CSRF}
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            line.request(method, path, urlencode(fields or {}, doseq=True), headers)
            answer = line.getresponse()
            return answer.status, answer.headers.get("Location", "")
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            line.close()


def _until(holds: Any) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@contextmanager
def audience() -> Iterator[Any]:
    """Lets coroutines run beside the test, until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    tasks: list[Any] = []
    try:
        yield lambda coroutine: tasks.append(asyncio.run_coroutine_threadsafe(coroutine, loop))
    finally:
        for task in tasks:
            task.cancel()
        asyncio.run_coroutine_threadsafe(_others_end(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _others_end() -> None:
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.slow), pytest.param(20, marks=pytest.mark.chaos)])
def test_the_web_server_is_killed_while_people_launch_and_watch(stage: Stage, tmp_path: Path, n: int) -> None:
    draw, client, web = random.Random(n), Client(), Web(tmp_path)
    client.force_login(stage.owner)
    cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
    questions = {f"n_{split}": "5" for split in ("search", "validation", "final")}
    chosen, watchers = library(stage.owner, tmp_path / "library"), []

    def launch(key: str) -> str:
        """Sent until it is answered, and then once more, as by somebody who is not sure. Where both answers lead."""
        sent = form(chosen, key=key, name=key, budget="12", population_size="4", **questions)
        found: list[str] = []
        while len(found) < 2:
            status, address = web.ask("POST", "/runs/new/", cookie, sent)
            assert status in (0, 302), status
            found += [address] * (status == 302)
            time.sleep(0.05)
        assert found[0] == found[1], found
        return found[0]

    for name in ("w1", "w2"):
        stage.crew.start(name)
    web.start()
    try:
        with ThreadPoolExecutor(1) as somebody, audience() as watch:
            for i in range(n):
                launched = somebody.submit(launch, f"run {i}")
                time.sleep(draw.uniform(0.0, 0.25))
                web.kill()
                stage.check()
                web.start()
                run = Run.objects.get(pk=launched.result().split("/")[2])
                stage.runs.append(run)
                for _ in range(2):
                    watchers.append(watcher := Watcher(run, client, web.port))
                    watcher.last = watcher.first = 0
                    watch(watcher.watch())
            _until(lambda: all(watcher.n_times for watcher in watchers))
            web.kill()
            stage.wait_for_ends()
            web.start()
            ends = {run.pk: answered(run.events.count) for run in stage.runs}
            _until(lambda: all(watcher.last == ends[watcher.run.pk] for watcher in watchers))
    finally:
        web.end()
    assert Run.objects.count() == n
    assert all(watcher.seqs == list(range(1, ends[watcher.run.pk] + 1)) for watcher in watchers)
    assert [line for log in web.logs for line in complaints(log)] == []
    stage.figures.add("web server killed", **{"kill -9": n + 1}, **stage.judge(faults=0))
