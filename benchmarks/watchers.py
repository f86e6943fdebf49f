"""Many browsers watch one run: how soon after its commit is an event on every screen, and does every event arrive?

    .venv/bin/python -m benchmarks.watchers [WATCHERS RATE SECONDS] >> docs/operation.md

Postgres, Valkey and the web server are those of the product; a process of its own writes events into the ledger, one transaction each, and
announces them as a worker does. Watchers are people with whom the run is shared. A latency is from before the commit until a watcher has
parsed the frame. In the last row the web server is killed and started anew; watchers come back as the page does.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from benchmarks.servers import Web, services

PER_PERSON: Final = 20
FIRST_WAIT_SECONDS: Final = 0.5
LONGEST_WAIT_SECONDS: Final = 15.0
SETTLE_SECONDS: Final = 3.0


@dataclass(frozen=True)
class Scene:
    """What is measured: so many watchers, events a second, for so long; `kills` the web server in the middle."""

    watchers: int
    rate: float
    seconds: float
    kills: bool = False


SCENES: Final = (Scene(200, 10, 40), Scene(500, 2, 40), Scene(200, 10, 40, kills=True))


@dataclass
class Watching:
    """What one watcher has seen, in order; `last` is the number of the newest event that it knows."""

    address: str
    headers: dict[str, str]
    last: int
    seqs: list[int] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    n_frames: int = 0
    lost_at: float = 0.0
    away: list[float] = field(default_factory=list)


def main(scenes: Sequence[Scene]) -> None:
    """Measure every scene and print a Markdown table."""
    with tempfile.TemporaryDirectory(prefix="progeny-watchers-") as folder, services(Path(folder)):
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        print(f"\nLoad average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, which all of it shares.\n")
        print(
            "| watchers x events a second | events | delivered | twice | median | p95 | p99 | most | p95 of the commit alone "
            "| frames a second each | web: processor, memory |\n|---|---|---|---|---|---|---|---|---|---|---|"
        )
        for scene in scenes:
            print(_measured(scene, Path(folder)), flush=True)


def write(run_id: UUID, rate: float, seconds: float) -> None:
    """What a worker does with results: a transaction for each event, then a word to watchers."""
    from django.db import transaction

    from webapp.runs import events
    from workers.events import Publisher

    publisher = Publisher()
    began, commits = time.monotonic(), []
    for number in range(round(rate * seconds)):
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        before = time.monotonic()
        with transaction.atomic():
            events.record(run_id, "evaluation.done", _score(number))
        commits.append(time.monotonic() - before)
        publisher.announce(run_id)
    publisher.close()
    print(json.dumps(commits))


def _score(number: int) -> dict[str, Any]:
    """A score as the ledger writes it, and when."""
    shares = {"fitness": 0.5, "mean": 0.5, "low": 0.4, "high": 0.6, "n": 200}
    place = {
        "candidate": number,
        "name": f"g{number // 20}.{number % 20}",
        "generation": number // 20,
        "index": number % 20,
    }
    rest = {"kind": "evolved", "split": "search", "is_healthy": True, "number": number + 1, "seconds": 1.0}
    return {**place, **shares, **rest, "written": time.time()}


def _measured(scene: Scene, folder: Path) -> str:
    run_id, watchings = _audience(scene.watchers)
    web = Web(folder / "logs")
    try:
        for watching in watchings:
            watching.address = f"ws://{web.host}/ws/runs/{run_id}/"
            watching.headers["Origin"] = f"http://{web.host}"
        commits = asyncio.run(_watch(scene, run_id, watchings, web))
        used = web.used()
    finally:
        web.stop()
    return _row(scene, watchings, commits, used, web.complaints())


async def _watch(scene: Scene, run_id: UUID, watchings: Sequence[Watching], web: Web) -> list[float]:
    """The seconds that each commit took; what watchers saw is in them."""
    open_ones = asyncio.Semaphore(50)
    tasks = [asyncio.create_task(_stay(watching, open_ones)) for watching in watchings]
    while not all(watching.n_frames for watching in watchings):
        await asyncio.sleep(0.1)
    await asyncio.sleep(SETTLE_SECONDS)
    web.begin()
    for watching in watchings:
        watching.n_frames = 0
    words = [sys.executable, "-m", "benchmarks.watchers", "write", str(run_id), str(scene.rate), str(scene.seconds)]
    writer = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    if scene.kills:
        await asyncio.sleep(scene.seconds / 2)
        await asyncio.to_thread(web.restart)
    commits: list[float] = json.loads((await writer.communicate())[0])
    deadline = time.monotonic() + LONGEST_WAIT_SECONDS
    n_events = round(scene.rate * scene.seconds)
    while time.monotonic() < deadline and any(
        watching.last < n_events + watching.seqs[0] - 1 for watching in watchings if watching.seqs
    ):
        await asyncio.sleep(0.1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return commits


async def _stay(watching: Watching, open_ones: asyncio.Semaphore) -> None:
    """Watch, and come back as `static/js/feed.js` does."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import WebSocketException

    n_failures = 0
    while True:
        try:
            async with open_ones:
                socket = await connect(
                    f"{watching.address}?last={watching.last}", additional_headers=watching.headers, proxy=None
                )
            async with socket:
                async for text in socket:
                    n_failures = 0
                    _hear(watching, json.loads(text))
        except (OSError, WebSocketException):
            pass
        watching.lost_at = watching.lost_at or time.monotonic()
        n_failures += 1
        wait = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** (n_failures - 1)) * random.uniform(0.5, 1.5)
        await asyncio.sleep(wait)


def _hear(watching: Watching, frame: dict[str, Any]) -> None:
    now = time.time()
    watching.n_frames += 1
    if watching.lost_at:
        watching.away.append(time.monotonic() - watching.lost_at)
        watching.lost_at = 0.0
    if frame["type"] != "events":
        raise RuntimeError(f"a {frame['type']} came where only events were missed")
    for event in frame["events"]:
        watching.seqs.append(event["seq"])
        watching.latencies.append(now - event["payload"]["written"])
    watching.last = frame["seq"]


def _row(
    scene: Scene, watchings: Sequence[Watching], commits: Sequence[float], used: tuple[float, int], complaints: str
) -> str:
    n_events = round(scene.rate * scene.seconds)
    n_seen = sum(len(set(watching.seqs)) for watching in watchings)
    n_twice = sum(len(watching.seqs) for watching in watchings) - n_seen
    in_order = all(watching.seqs == sorted(watching.seqs) for watching in watchings)
    latencies = sorted(1000 * latency for watching in watchings for latency in watching.latencies)
    cuts = statistics.quantiles(latencies, n=100)
    commit = 1000 * statistics.quantiles(commits, n=100)[94]
    shown = [f"{value:.0f} ms" for value in (cuts[49], cuts[94], cuts[98], latencies[-1], commit)]
    frames = statistics.fmean(watching.n_frames for watching in watchings) / scene.seconds
    name = f"{scene.watchers} x {scene.rate:g}"
    if scene.kills:
        away = sorted(seconds for watching in watchings for seconds in watching.away)
        name += f", web server killed: all back within {away[-1]:.1f} s"
    if not in_order or complaints:
        name += f" **out of order: {not in_order}; log: {complaints[:300]!r}**"
    delivered = f"{100 * n_seen / (n_events * scene.watchers):.2f} %"
    processor, memory = used
    web = f"{processor:.0%} of a core, {memory / 1e6:.0f} MB"
    return f"| {name} | {n_events} | {delivered} | {n_twice} | {' | '.join(shown)} | {frames:.1f} | {web} |"


def _audience(n_watchers: int) -> tuple[UUID, list[Watching]]:
    """A run, shared with as many people as it takes, and their sessions."""
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.db import connections
    from django.test import Client

    from webapp.runs.models import Run
    from webapp.sharing.models import Share

    owner = User.objects.create(username=f"owner-{n_watchers}-{time.time_ns()}")
    run = Run.objects.create(
        owner=owner, name="Watched", state="running", config={}, config_digest="", budget=1000, seed=1
    )
    watchings = []
    for number in range(-(-n_watchers // PER_PERSON)):
        person = User.objects.create(username=f"{owner.username}-{number}")
        Share.objects.create(run=run, user=person, role="viewer")
        client = Client()
        client.force_login(person)
        cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
        watchings += [Watching("", {"Cookie": cookie}, run.next_seq - 1) for _ in range(PER_PERSON)]
    connections.close_all()
    return run.pk, watchings[:n_watchers]


def _write(words: Sequence[str]) -> None:
    import django

    django.setup()
    write(UUID(words[0]), float(words[1]), float(words[2]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["write"]:
        _write(sys.argv[2:])
    else:
        main([Scene(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))] if sys.argv[1:] else SCENES)
