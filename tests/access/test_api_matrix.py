"""Every operation for programs, for everybody: the table of `matrix.py`, by tokens and by nothing else."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest
from django.db import transaction

from tests.access.matrix import API, PERSONS, Row, rows
from tests.access.test_headers import missing
from tests.access.test_matrix import checksum
from tests.access.world import API_BODIES, World, body_of, parts
from tests.webapp.runs.path_rows import make_path_run
from webapp.api.problems import MEDIA_TYPE
from webapp.api.tokens import make

ROWS = rows(API)
READS = [row for row in ROWS if row.method == "GET"]
OPERATIONS = [row for row in ROWS if row.route != "api:nowhere"]
IN_A_RUN = [row for row in OPERATIONS if {"run_id", "candidate_id"} <= set(parts()[row.route])]
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


def of(row: Any) -> str:
    return str(row)


@pytest.mark.parametrize("row", ROWS, ids=of)
def test_everybody_gets_what_is_theirs(world: World, row: Row) -> None:
    found = {}
    for person in PERSONS:
        with transaction.atomic():
            answer = world.ask_as_program(person, row.method, row.route)
            found[person] = str(answer.status_code)
            assert missing(answer) == {}, person
            if answer.status_code >= 400:
                assert answer["Content-Type"] == MEDIA_TYPE
                assert json.loads(answer.content)["status"] == answer.status_code
            transaction.set_rollback(True)
    assert found == row.answers


@pytest.mark.parametrize("row", READS, ids=of)
def test_head_is_answered_as_get_is(world: World, row: Row) -> None:
    answers = {person: world.ask_as_program(person, "HEAD", row.route) for person in PERSONS}
    assert {person: str(answer.status_code) for person, answer in answers.items()} == row.answers
    assert {answer.content for answer in answers.values()} == {b""}


@pytest.mark.parametrize("row", OPERATIONS, ids=of)
def test_whoever_is_signed_in_is_nobody_here(world: World, row: Row) -> None:
    """So no page of another site can use that somebody is."""
    client, before = world.client("owner"), checksum()
    answer = client.generic(
        row.method, world.address(row.route), json.dumps(API_BODIES.get(row.route, {})), "application/json"
    )
    assert (answer.status_code, answer["WWW-Authenticate"], checksum()) == (401, "Bearer", before)


@pytest.mark.parametrize("row", [row for row in OPERATIONS if row.method != "GET"], ids=of)
def test_a_token_that_may_only_read_changes_nothing(world: World, row: Row) -> None:
    answer = world.ask_as_program("owner", row.method, row.route, scopes=())
    assert (answer.status_code, "scope" in json.loads(answer.content)["detail"]) == (403, True)


@pytest.mark.parametrize("row", READS, ids=of)
def test_reading_writes_no_more_than_the_trail_and_when_a_token_was_used(world: World, row: Row) -> None:
    client, word = world.client("nobody"), make(world.users["owner"], "a program", (), 1)[1]
    headers = {"Authorization": f"Bearer {word}"}
    client.get(world.address("api:get_me"), headers=headers)
    before = checksum(besides="people_act")
    body_of(client.get(world.address(row.route), headers=headers))
    assert checksum(besides="people_act") == before


def test_methods_that_an_address_does_not_know_are_refused(world: World) -> None:
    known: defaultdict[str, set[str]] = defaultdict(set)
    routes = {}
    for row in OPERATIONS:
        address = world.address(row.route)
        known[address].add(row.method)
        routes[address] = row.route
    for address, methods in known.items():
        for method in METHODS:
            if method not in methods:
                answer = world.ask_as_program("owner", method, routes[address])
                allowed = set(answer["Allow"].split(", ")) - {"HEAD"}
                assert (address, method, answer.status_code, allowed) == (address, method, 405, methods)


@pytest.mark.parametrize("row", IN_A_RUN, ids=of)
def test_a_candidate_of_another_run_is_not_there(world: World, row: Row) -> None:
    other = make_path_run(world.users["member"], n_generations=1, population=2, name="another")
    theirs, own = world.things["candidate_id"], other.candidates.get(name="g0.1").pk
    for parts_ in ({"run_id": other.pk, "candidate_id": theirs}, {"candidate_id": own}):
        assert world.ask_as_program("member", row.method, row.route, **parts_).status_code == 404
