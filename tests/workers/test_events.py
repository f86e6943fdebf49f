"""Hints to watchers and idle workers: coalesced, after the commit, and never in the way of the work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any
from uuid import uuid4

import pytest
from channels.layers import get_channel_layer
from django.test.utils import override_settings
from kombu import Consumer
from kombu.common import Broadcast

from tests.ledger import world
from tests.workers.conftest import wait_for
from webapp.runs.events import group_name
from webapp.runs.models import Run
from webapp.runs.task_names import DRAIN
from workers.events import PERIOD_SECONDS, ExportProgress, Progress, Publisher
from workers.ledger import repairs

STEP = Progress(candidate=1, name="g0.0", split="search", stage="evaluate", done=0, total=100)


@pytest.fixture
def publisher(transactional_db: None) -> Iterator[Publisher]:
    publisher = Publisher()
    yield publisher
    publisher.close()


def listen(run: Run, say: Any, seconds: float) -> list[dict[str, Any]]:
    """What a watcher of the run hears while and after `say` is called."""

    async def hear() -> list[dict[str, Any]]:
        layer = get_channel_layer()
        channel = await layer.new_channel()
        await layer.group_add(group_name(run.pk), channel)
        await asyncio.to_thread(say)
        heard = []
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                heard.append(await asyncio.wait_for(layer.receive(channel), left))
            except TimeoutError:
                break
        await layer.group_discard(group_name(run.pk), channel)
        return heard

    return asyncio.run(hear())


def test_watchers_hear_how_many_events_exist(run: Run, publisher: Publisher) -> None:
    assert listen(run, lambda: publisher.announce(run.pk), 0.5) == [{"type": "run.events", "seq": 1}]
    assert not run.events.filter(relayed=None).exists()


def test_a_storm_is_coalesced_to_ten_a_second(run: Run, publisher: Publisher) -> None:
    def storm() -> None:
        for done in range(200):
            publisher.announce(run.pk)
            publisher.progress(run.pk, Progress(1, "g0.0", "search", "evaluate", done, 200))
            time.sleep(0.005)

    began = time.monotonic()
    heard = listen(run, storm, 1.0)
    most = 2 + (time.monotonic() - began) / PERIOD_SECONDS
    for kind in ("run.events", "run.progress"):
        assert 2 <= sum(message["type"] == kind for message in heard) <= most
    assert [m for m in heard if m["type"] == "run.progress"][-1]["done"] == 199


def test_the_first_word_is_said_at_once(run: Run, publisher: Publisher) -> None:
    assert len(listen(run, lambda: publisher.progress(run.pk, STEP), 0.2)) == 1


def test_exports_are_told_to_the_runs_watchers(run: Run, publisher: Publisher) -> None:
    progress = ExportProgress("an id", "write", 0.5)
    assert listen(run, lambda: publisher.progress(run.pk, progress), 0.2) == [
        {"type": "run.export", "export": "an id", "stage": "write", "progress": 0.5}
    ]


def test_one_run_does_not_hear_of_another(run: Run, publisher: Publisher) -> None:
    assert listen(run, lambda: publisher.progress(uuid4(), STEP), 0.3) == []


def test_without_redis_nothing_is_raised_and_events_wait(run: Run, publisher: Publisher) -> None:
    nowhere = {"hosts": [{"address": "unix:///nowhere/valkey.sock"}]}
    layer = {"default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": nowhere}}
    with override_settings(CHANNEL_LAYERS=layer):
        publisher.announce(run.pk)
        publisher.progress(run.pk, STEP)
        time.sleep(0.5)
    assert run.events.filter(relayed=None).count() == 1
    run.events.update(created=run.created - repairs.UNRELAYED_AFTER)
    assert repairs.unrelayed() == [run.pk]
    publisher.announce(run.pk)
    wait_for(lambda: not run.events.filter(relayed=None).exists())
    assert repairs.unrelayed() == []


def test_a_wake_up_is_heard_by_every_worker_that_listens(publisher: Publisher) -> None:
    from workers.celery import app

    heard: list[str] = []
    with app.connection() as first, app.connection() as second, ExitStack() as consumers:
        for connected in (first, second):
            wake_ups = Broadcast("wake-ups", routing_key="wake-ups")
            consumers.enter_context(
                Consumer(connected, [wake_ups], on_message=lambda message: heard.append(message.headers["task"]))
            )
            drain_events(connected, 0.2)  # it listens from here on
        publisher.wake()
        for connected in (first, second):
            drain_events(connected, 5)
    assert heard == [DRAIN, DRAIN]


def drain_events(connected: Any, seconds: float) -> None:
    """Hear one message, or none in that time."""
    with suppress(TimeoutError):
        connected.drain_events(timeout=seconds)


def test_closing_says_what_is_left(run: Run, transactional_db: None) -> None:
    world.take()
    publisher = Publisher()
    publisher.announce(run.pk)
    publisher.close()
    assert not run.events.filter(relayed=None).exists()
