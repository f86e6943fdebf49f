"""Every route, by every method, for everybody: the site answers as `matrix.py` says, and in no other way."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from tests.access.matrix import API, HTTP, PERSONS, WEBSOCKETS, Row, rows
from tests.access.world import World, body_of, parts
from tests.webapp.runs.path_rows import make_path_run
from tests.webapp.runs.sockets import Socket
from webapp.routing import websocket_urlpatterns
from webapp.sharing.models import Share

ROWS = rows(HTTP)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
READS = [row for row in ROWS if row.method == "GET"]
WRITES = [row for row in ROWS if row.method == "POST"]
IN_A_RUN = [row for row in ROWS if {"run_id", "candidate_id"} <= set(parts()[row.route])]
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain")
"""What a page of another site can send without asking."""


def of(row: Any) -> str:
    return str(row)


def got(answer: Any) -> str:
    """As the table has it."""
    is_door = answer.status_code == 302 and answer["Location"].startswith("/sign-in/")
    return "in" if is_door else str(answer.status_code)


def test_every_route_has_lines_and_every_line_a_route() -> None:
    assert {row.route for row in [*ROWS, *rows(API)]} == set(parts())
    assert {row.route for row in rows(WEBSOCKETS)} == {f"/{pattern.pattern}" for pattern in websocket_urlpatterns}
    lines = [(row.route, row.method) for row in [*ROWS, *rows(API)]]
    assert len(lines) == len(set(lines))


def test_no_two_routes_have_one_address() -> None:
    """The first would answer for both."""
    addresses = Counter(str(pattern.pattern) for pattern in _patterns(get_resolver()))
    assert [address for address, n in addresses.items() if n > 1 and address] == []


def _patterns(resolver: URLResolver) -> Iterator[URLPattern]:
    """Of rooms without a prefix, as all rooms of runs are."""
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLPattern):
            yield pattern
        elif not str(pattern.pattern):
            yield from _patterns(pattern)


@pytest.mark.parametrize("row", ROWS, ids=of)
def test_everybody_gets_what_is_theirs(world: World, row: Row) -> None:
    found = {}
    for person in PERSONS:
        with transaction.atomic():
            found[person] = got(world.ask(person, row.method, row.route))
            transaction.set_rollback(True)
    assert found == row.answers


@pytest.mark.parametrize("row", READS, ids=of)
def test_head_is_answered_as_get_is(world: World, row: Row) -> None:
    assert {person: got(world.ask(person, "HEAD", row.route)) for person in PERSONS} == row.answers


def test_methods_that_a_route_does_not_know_are_refused(world: World) -> None:
    """In one world: what is refused changes nothing."""
    for route in sorted({row.route for row in ROWS}):
        for method in {*METHODS} - {row.method for row in ROWS if row.route == route}:
            assert (route, method, got(world.ask("owner", method, route))) == (route, method, "405")
            assert got(world.ask("anonymous", method, route)) in ("in", "405"), (route, method)


@pytest.mark.parametrize("row", IN_A_RUN, ids=of)
def test_a_candidate_of_another_run_is_not_there(world: World, row: Row) -> None:
    """In one's own run as little as in the other's."""
    other = make_path_run(world.users["member"], n_generations=1, population=2, name="another")
    theirs = world.things["candidate_id"]
    assert got(world.ask("member", row.method, row.route, run_id=other.pk, candidate_id=theirs)) == "404"
    own = other.candidates.get(name="g0.1").pk
    assert got(world.ask("member", row.method, row.route, candidate_id=own)) == "404"


def test_a_share_of_another_run_is_not_there(world: World) -> None:
    other = make_path_run(world.users["member"], n_generations=1, population=2, name="another")
    assert got(world.ask("member", "POST", "sharing:unshare", run_id=other.pk)) == "404"
    assert Share.objects.count() == 3


def test_comparing_with_a_candidate_of_another_run_finds_nothing(world: World) -> None:
    other = make_path_run(world.users["member"], n_generations=1, population=2, name="another")
    own = other.candidates.get(name="g0.1").pk
    address = world.address("runs:compare", run_id=other.pk, candidate_id=own)
    assert got(world.client("member").get(address, {"with": world.things["candidate_id"]})) == "404"


def test_nothing_is_written_without_a_token(world: World) -> None:
    """In one world, therefore."""
    for person in PERSONS:
        client = world.client(person, enforce_csrf_checks=True)
        before = checksum()
        for row in WRITES:
            for content_type in FORM_TYPES:
                answer = client.post(world.address(row.route), b"name=x&role=viewer", content_type=content_type)
                asked = (row.route, person, content_type)
                assert (*asked, answer.status_code) == (*asked, 403)
            assert checksum() == before, row.route


@pytest.mark.parametrize("row", READS, ids=of)
def test_reading_writes_nothing_but_the_trail(world: World, row: Row) -> None:
    for person in ("anonymous", "viewer", "owner"):
        client = world.client(person)
        before = checksum(besides="people_act")
        for query in ("", f"?part=live&recipe=json&like={world.run.pk}"):
            body_of(client.get(world.address(row.route) + query))
        body_of(client.get(world.address(row.route), headers={"HX-Request": "true"}))
        assert checksum(besides="people_act") == before, person


def test_the_checksum_sees_every_row(world: World) -> None:
    """Otherwise two tests above could not fail."""
    before = checksum()
    Share.objects.filter(role="viewer").update(role="editor")
    assert checksum() != before


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("person", PERSONS)
@pytest.mark.parametrize("row", rows(WEBSOCKETS), ids=of)
async def test_everybody_hears_what_is_theirs(world: World, row: Row, person: str) -> None:
    client = await asyncio.to_thread(_client, world, person)
    socket = Socket(row.route.replace("<uuid:run_id>", str(world.run.pk)), headers(client))
    assert await socket.open()
    if row.answers[person] == "open":
        assert (await socket.frame())["type"] == "snapshot"
    else:
        assert str(await socket.closed()) == row.answers[person]
    await socket.leave()


def _client(world: World, person: str) -> Client:
    """Made in a thread, whose connection nobody closes otherwise."""
    try:
        return world.client(person)
    finally:
        connection.close()


def headers(client: Client) -> list[tuple[bytes, bytes]]:
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    return [(b"host", b"127.0.0.1"), (b"origin", b"http://127.0.0.1"), (b"cookie", cookies.encode())]


def checksum(besides: str = "") -> str:
    """Of every row of every table but one."""
    found = hashlib.sha256()
    with connection.cursor() as cursor:
        for table in sorted({*connection.introspection.table_names(cursor)} - {besides}):
            cursor.execute(f'SELECT row::text FROM "{table}" row ORDER BY 1')
            found.update(repr((table, cursor.fetchall())).encode())
    return found.hexdigest()
