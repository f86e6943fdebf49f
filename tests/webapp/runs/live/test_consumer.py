"""The websocket of a live run: who may listen, what was missed, what is new, and that silence breaks nothing."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest
from channels.layers import get_channel_layer
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.models import Session
from django.db import OperationalError, connection, transaction
from django.test import Client
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.webapp.runs.rows import make_run
from tests.webapp.runs.sockets import Socket
from webapp.runs import events
from webapp.runs.live import audiences, consumers
from webapp.runs.models import Event, Run

pytestmark = pytest.mark.django_db(transaction=True)
HOST = "127.0.0.1"


@pytest.fixture
def run(owner: User) -> Run:
    return make_run(owner, n_generations=1, population=4)


def cookie_of(client: Client) -> str:
    key = settings.SESSION_COOKIE_NAME
    return f"{key}={client.cookies[key].value}" if key in client.cookies else ""


def socket(
    run_id: object, client: Client, last: object = None, origin: str | None = f"http://{HOST}", host: str = HOST
) -> Socket:
    headers = [(b"host", host.encode()), (b"cookie", cookie_of(client).encode())]
    if origin is not None:
        headers.append((b"origin", origin.encode()))
    return Socket(f"/ws/runs/{run_id}/" + ("" if last is None else f"?last={last}"), headers)


async def opened(watcher: Socket) -> Any:
    """The first frame."""
    assert await watcher.open()
    return await watcher.frame()


async def code_of(watcher: Socket) -> int | None:
    """The code with which an accepted socket is closed."""
    assert await watcher.open()
    code = await watcher.closed()
    await watcher.leave()
    return code


async def record(run: Run, announce: bool = True) -> int:
    payload = {"state": "paused", "message": "", "stopping": False}
    seq = await asyncio.to_thread(_record, run, payload)
    if announce:
        await get_channel_layer().group_send(events.group_name(run.pk), {"type": "run.events", "seq": seq})
    return seq


def _record(run: Run, payload: dict[str, Any]) -> int:
    try:
        return events.record(run.pk, "run.state", payload)
    finally:
        connection.close()


async def test_who_knows_nothing_gets_a_snapshot(run: Run, owner_client: Client) -> None:
    watcher = socket(run.pk, owner_client)
    frame = await opened(watcher)
    assert frame["type"] == "snapshot" and frame["n_scored"] == 4
    await watcher.leave()


async def test_who_comes_back_gets_what_was_missed(run: Run, owner_client: Client) -> None:
    watcher = socket(run.pk, owner_client, last=run.next_seq - 3)
    frame = await opened(watcher)
    assert [event["seq"] for event in frame["events"]] == [run.next_seq - 2, run.next_seq - 1]
    await watcher.leave()


async def test_who_missed_nothing_still_hears_that_the_line_is_open(run: Run, owner_client: Client) -> None:
    watcher = socket(run.pk, owner_client, last=run.next_seq - 1)
    assert (await opened(watcher))["events"] == []
    await watcher.leave()


async def test_new_events_come_once_each_and_in_order(run: Run, owner_client: Client) -> None:
    watcher = socket(run.pk, owner_client, last=run.next_seq - 1)
    await opened(watcher)
    first = await record(run, announce=False)
    second = await record(run)
    frame = await watcher.frame()
    assert [event["seq"] for event in frame["events"]] == [first, second]
    await get_channel_layer().group_send(events.group_name(run.pk), {"type": "run.events", "seq": second})
    assert await watcher.is_silent(0.5)
    await watcher.leave()


async def test_hints_are_passed_on(run: Run, owner_client: Client) -> None:
    watcher = socket(run.pk, owner_client, last=run.next_seq - 1)
    await opened(watcher)
    hint = {"candidate": 1, "name": "g0.0", "split": "search", "stage": "evaluate", "done": 3, "total": 50}
    await get_channel_layer().group_send(events.group_name(run.pk), {"type": "run.progress", **hint})
    assert await watcher.frame() == {"type": "progress", **hint}
    await watcher.leave()


async def test_watchers_that_ask_the_same_share_one_query(
    run: Run, owner_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    watchers = [socket(run.pk, owner_client, last=run.next_seq - 1) for _ in range(5)]
    for watcher in watchers:
        await opened(watcher)
    asked = []
    catch_up = consumers.series.catch_up
    monkeypatch.setattr(consumers.series, "catch_up", lambda *words: asked.append(words) or catch_up(*words))
    seq = await record(run)
    frames = [await watcher.frame() for watcher in watchers]
    assert [frame["seq"] for frame in frames] == [seq] * 5
    assert len(asked) < 5
    for watcher in watchers:
        await watcher.leave()


async def test_a_socket_that_was_silent_for_seven_seconds_still_delivers(run: Run, owner_client: Client) -> None:
    """redis-py gives up an idle connection after five seconds unless told otherwise."""
    watcher = socket(run.pk, owner_client, last=run.next_seq - 1)
    await opened(watcher)
    assert await watcher.is_silent(7)
    seq = await record(run)
    assert (await watcher.frame())["seq"] == seq
    await watcher.leave()


async def test_an_event_whose_hint_was_lost_comes_with_the_next_tick(
    run: Run, owner_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "TICK_SECONDS", 0.2)
    watcher = socket(run.pk, owner_client, last=run.next_seq - 1)
    await opened(watcher)
    seq = await record(run, announce=False)
    assert (await watcher.frame())["seq"] == seq
    await watcher.leave()


@pytest.mark.parametrize("signs_out", [False, True])
async def test_a_tick_ends_quietly_when_the_watcher_has_left(
    run: Run, owner_client: Client, monkeypatch: pytest.MonkeyPatch, signs_out: bool
) -> None:
    """Whether it has something to send or a socket to close."""
    monkeypatch.setattr(consumers, "TICK_SECONDS", 0.3)
    watcher = socket(run.pk, owner_client, last=run.next_seq - 1)
    await opened(watcher)
    watcher.is_gone = True
    await asyncio.sleep(0.05)
    [ticker] = [task for task in asyncio.all_tasks() if "_RunSocket._tick" in str(task.get_coro())]
    await (Session.objects.all().adelete() if signs_out else record(run, announce=False))
    await asyncio.sleep(0.5)
    await watcher.leave()
    await asyncio.wait([ticker])
    assert ticker.cancelled() or ticker.exception() is None


@pytest.mark.parametrize(
    "hint", [{"type": "run.progress"}, {"type": "run.export"}, {"type": "run.events", "seq": 9**9}]
)
async def test_a_hint_for_a_watcher_that_has_left_is_no_error(
    run: Run, owner_client: Client, caplog: pytest.LogCaptureFixture, hint: dict[str, Any]
) -> None:
    watcher = socket(run.pk, owner_client, last=run.next_seq - 1)
    await opened(watcher)
    await record(run, announce=False)
    watcher.is_gone = True
    await get_channel_layer().group_send(events.group_name(run.pk), hint)
    await asyncio.sleep(0.3)
    await watcher.leave()
    assert [said.getMessage() for said in caplog.records if said.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("error", [RedisConnectionError, OperationalError])
async def test_a_watcher_that_cannot_be_served_is_sent_away_and_asks_nothing_more(
    run: Run, owner_client: Client, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    monkeypatch.setattr(consumers, "TICK_SECONDS", 0.1)
    watcher = socket(run.pk, owner_client, last=run.next_seq - 1)
    await opened(watcher)
    asked: list[object] = []

    def away(*words: object) -> None:
        asked.append(words)
        raise error("gone")

    monkeypatch.setattr(consumers.series, "catch_up", away)
    await record(run)
    assert await watcher.closed() == consumers.TRY_LATER
    n_asked = len(asked)
    await asyncio.sleep(0.5)
    assert len(asked) == n_asked


async def test_only_the_owner_may_listen(
    run: Run, owner_client: Client, member_client: Client, stranger_client: Client, stranger: AnonymousUser
) -> None:
    watcher = socket(run.pk, owner_client)
    assert (await opened(watcher))["type"] == "snapshot"
    await watcher.leave()
    assert await code_of(socket(run.pk, member_client)) == consumers.NOT_FOUND
    assert await code_of(socket(run.pk, stranger_client)) == consumers.NOT_SIGNED_IN


async def test_a_run_that_does_not_exist_looks_like_one_of_somebody_else(owner_client: Client) -> None:
    assert await code_of(socket("00000000-0000-4000-8000-000000000000", owner_client)) == consumers.NOT_FOUND


async def test_a_deleted_run_cannot_be_watched(run: Run, owner_client: Client) -> None:
    await Run.objects.filter(pk=run.pk).aupdate(deleted_at=timezone.now())
    assert await code_of(socket(run.pk, owner_client)) == consumers.NOT_FOUND


@pytest.mark.parametrize("origin", ["https://evil.example", f"http://{HOST}.evil.example", "null", None])
async def test_pages_of_other_hosts_are_refused_at_the_door(run: Run, owner_client: Client, origin: str | None) -> None:
    assert not await socket(run.pk, owner_client, origin=origin).open()


async def test_pages_of_another_port_of_this_host_are_refused(run: Run, owner_client: Client) -> None:
    """Cookies do not know ports."""
    foreign = socket(run.pk, owner_client, origin=f"http://{HOST}:9999", host=f"{HOST}:8000")
    assert await code_of(foreign) == consumers.FOREIGN_PAGE


async def test_signing_out_closes_the_socket(run: Run, owner_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "TICK_SECONDS", 0.2)
    watcher = socket(run.pk, owner_client)
    await opened(watcher)
    await Session.objects.all().adelete()
    assert await watcher.closed() == consumers.NOT_SIGNED_IN
    await watcher.leave()


@pytest.mark.parametrize("last", ["-1", "x", "", "1" * 40, "1.5", "%00"])
async def test_any_other_position_gets_a_snapshot(run: Run, owner_client: Client, last: str) -> None:
    watcher = socket(run.pk, owner_client, last=last)
    assert (await opened(watcher))["type"] == "snapshot"
    await watcher.leave()


async def test_without_the_queue_a_watcher_is_told_to_come_back(
    run: Run, owner_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*words: object) -> None:
        raise RedisConnectionError("gone")

    monkeypatch.setattr(get_channel_layer(), "new_channel", away)
    assert await code_of(socket(run.pk, owner_client)) == consumers.TRY_LATER


async def test_a_storm_of_hints_is_ten_frames_a_second_at_most(run: Run, owner_client: Client) -> None:
    watcher = socket(run.pk, owner_client, last=run.next_seq - 1)
    await opened(watcher)
    began = time.monotonic()
    hint = {"type": "run.progress", "candidate": 1}
    for done in range(300):
        await get_channel_layer().group_send(events.group_name(run.pk), {**hint, "done": done})
        await asyncio.sleep(0.002)
    heard = [await watcher.frame()]
    while heard[-1]["done"] < 299:
        heard.append(await watcher.frame())
    assert 3 <= len(heard) <= 2 + (time.monotonic() - began) / audiences.PERIOD_SECONDS
    await watcher.leave()


async def test_a_storm_of_events_reaches_everybody_whole_within_five_seconds(run: Run, owner_client: Client) -> None:
    """As events, or in a snapshot that is newer than they are."""
    watchers = [socket(run.pk, owner_client, last=run.next_seq - 1) for _ in range(20)]
    for watcher in watchers:
        await opened(watcher)
    newest = run.next_seq - 1
    for _ in range(10):
        newest = await asyncio.to_thread(_storm, run, newest, 500)
        await get_channel_layer().group_send(events.group_name(run.pk), {"type": "run.events", "seq": newest})
    async with asyncio.timeout(5):
        for watcher in watchers:
            known = run.next_seq - 1
            while known < newest:
                frame = await watcher.frame()
                assert frame["type"] == "snapshot" or frame["events"][0]["seq"] == known + 1
                known = frame["seq"]
    for watcher in watchers:
        await watcher.leave()


def _storm(run: Run, newest: int, n: int) -> int:
    try:
        with transaction.atomic():
            rows = [
                Event(run=run, seq=newest + i, kind="run.state", payload={"state": "running"}) for i in range(1, n + 1)
            ]
            Event.objects.bulk_create(rows)
            Run.objects.filter(pk=run.pk).update(next_seq=newest + n + 1)
        return newest + n
    finally:
        connection.close()


async def test_who_reads_nothing_is_dropped_and_catches_up_when_it_comes_back(
    run: Run, owner_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "SLOW_SECONDS", 0.3)
    stalled, other = (socket(run.pk, owner_client, last=run.next_seq - 1) for _ in range(2))
    for watcher in (stalled, other):
        await opened(watcher)
    stalled.reads.clear()
    first = await record(run)
    assert (await other.frame())["seq"] == first
    await asyncio.sleep(0.5)
    second = await record(run)
    assert (await other.frame())["seq"] == second
    stalled.reads.set()
    assert await stalled.closed() == consumers.TOO_SLOW
    back = socket(run.pk, owner_client, last=first - 1)
    assert [event["seq"] for event in (await opened(back))["events"]] == [first, second]
    for watcher in (stalled, other, back):
        await watcher.leave()


async def test_a_slow_reader_gets_what_has_come_meanwhile_in_one_frame(run: Run, owner_client: Client) -> None:
    watcher = socket(run.pk, owner_client, last=run.next_seq - 1)
    await opened(watcher)
    watcher.reads.clear()
    numbers = []
    for _ in range(5):
        numbers.append(await record(run))
        await asyncio.sleep(1.5 * audiences.PERIOD_SECONDS)
    watcher.reads.set()
    frames = [await watcher.frame(), await watcher.frame()]
    assert [event["seq"] for frame in frames for event in frame["events"]] == numbers
    await watcher.leave()


async def test_a_person_has_so_many_sockets_and_room_again_when_one_leaves(
    run: Run, owner_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "MAX_SOCKETS", 2)
    watchers = [socket(run.pk, owner_client) for _ in range(2)]
    for watcher in watchers:
        await opened(watcher)
    assert await code_of(socket(run.pk, owner_client)) == consumers.TOO_MANY
    await watchers.pop().leave()
    watchers.append(socket(run.pk, owner_client))
    await opened(watchers[-1])
    for watcher in watchers:
        await watcher.leave()


async def test_who_talks_is_sent_away(run: Run, owner_client: Client) -> None:
    watcher = socket(run.pk, owner_client)
    await opened(watcher)
    await watcher.say("x" * 1000)
    assert await watcher.closed() == consumers.NOTHING_EXPECTED
    await watcher.leave()


async def test_nothing_is_kept_of_a_run_that_nobody_watches(run: Run, owner_client: Client) -> None:
    watchers = [socket(run.pk, owner_client) for _ in range(3)]
    for watcher in watchers:
        await opened(watcher)
    layer = get_channel_layer()
    assert list(audiences._audiences) == [run.pk] and len(layer.channels) == 1
    for watcher in watchers:
        await watcher.leave()
    assert (audiences._audiences, layer.channels, layer.groups, consumers._n_sockets) == ({}, {}, {}, {})
