"""What a person reads, or a machine gets, when something is wrong with a request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, OperationalError, connection
from django.template.loader import render_to_string
from django.test import Client

from webapp.runs import listing


@pytest.fixture
def no_database(member_client: Client) -> Iterator[Client]:
    """Somebody who was signed in before the database went away."""

    def away(*_: object) -> None:
        raise OperationalError('connection to server at "127.0.0.1", port 5432 failed: Connection refused')

    with pytest.MonkeyPatch.context() as patch:
        for name in ("cursor", "chunked_cursor"):
            patch.setattr(connection, name, away)
        yield _as_people_see_it(member_client)


def _as_people_see_it(client: Client) -> Client:
    """Errors become answers."""
    client.raise_request_exception = False
    return client


def test_a_page_that_is_not_there_says_so_and_leads_home(member_client: Client) -> None:
    answer = member_client.get("/runs/00000000-0000-0000-0000-000000000000/")
    assert answer.status_code == 404
    assert "Nothing is here" in answer.content.decode()


def test_what_is_not_allowed_says_why(member_client: Client) -> None:
    answer = member_client.post("/models/", {"folder": "/"})
    assert answer.status_code == 403
    assert "only staff registers folders" in answer.content.decode()


def test_a_form_from_an_old_page_is_refused_in_words(owner: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner)
    answer = client.post("/sign-out/")
    assert answer.status_code == 403
    assert "nothing was changed" in answer.content.decode()


@pytest.mark.parametrize("template", ["404.html", "403.html", "500.html", "503.html"])
def test_an_error_page_needs_no_request(template: str) -> None:
    assert "<h1>" in render_to_string(template)


def test_a_page_without_the_database_comes_back_by_itself(no_database: Client) -> None:
    answer = no_database.get("/")
    assert (answer.status_code, answer["Retry-After"], answer["Cache-Control"]) == (503, "10", "no-store")
    page = answer.content.decode()
    assert "Back in a moment" in page
    assert '<meta http-equiv="refresh" content="10">' in page
    assert "Traceback" not in page
    assert "127.0.0.1" not in page


def test_a_form_without_the_database_says_that_nothing_was_done_and_is_not_sent_again(no_database: Client) -> None:
    answer = no_database.post("/runs/new/", {})
    assert answer.status_code == 503
    assert "was not done" in answer.content.decode()
    assert "http-equiv" not in answer.content.decode()


def test_who_asks_for_json_or_for_a_part_of_a_page_gets_it(no_database: Client) -> None:
    answer = no_database.get("/", headers={"Accept": "application/json"})
    assert (answer.status_code, list(answer.json())) == (503, ["error"])
    answer = no_database.get("/", headers={"HX-Request": "true"})
    assert answer.status_code == 503
    assert "<html" not in answer.content.decode()


def test_machines_are_still_told_how_things_are_without_the_database(no_database: Client, settings: Any) -> None:
    settings.METRICS_TOKEN = "t" * 20
    machine = Client(headers={"Authorization": f"Bearer {'t' * 20}"})
    answer = machine.get("/healthz")
    assert (answer.status_code, answer.json()["database"]) == (503, "failing")
    answer = machine.get("/metrics")
    assert answer.status_code == 200
    assert 'progeny_up{server="database"} 0.0' in answer.content.decode()


def test_a_page_that_takes_the_database_too_long_says_so_and_is_not_asked_again_by_itself(
    member_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*_: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 1; SELECT pg_sleep(1)")

    monkeypatch.setattr(listing, "rows", slow)
    answer = _as_people_see_it(member_client).get("/")
    assert answer.status_code == 500 and "Retry-After" not in answer
    page = answer.content.decode()
    assert "This takes too long" in page and "http-equiv" not in page and "Back in a moment" not in page


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OperationalError("FATAL: sorry, too many clients already"), 503),
        (OperationalError("could not extend file: No space left on device"), 503),
        (DatabaseError("syntax error"), 500),
        (RuntimeError("a defect"), 500),
    ],
)
def test_only_a_database_that_is_away_or_full_is_no_defect_of_ours(
    member_client: Client, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(listing, "rows", fail)
    assert _as_people_see_it(member_client).get("/").status_code == status
