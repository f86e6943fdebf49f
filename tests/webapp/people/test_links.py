"""Links to a run: for whoever has one, for a while, to read and nothing else."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone

from tests.webapp.runs.path_rows import make_path_run
from tests.webapp.runs.rows import make_run
from webapp.people.links import MAX_LINKS
from webapp.people.models import Link
from webapp.runs.models import Run


@pytest.fixture
def run(owner: User) -> Run:
    return make_run(owner, state="done", n_generations=2, population=4, ending=True)


def made(client: Client, run: Run, days: int = 7) -> str:
    page = client.post(f"/runs/{run.pk}/links/", {"days": days}).content.decode()
    found = re.search(r"http://testserver(/shared/[\w-]{43}/)", page)
    assert found, page
    return found[1]


def test_whoever_has_a_link_reads_the_run_without_an_account(run: Run, owner_client: Client) -> None:
    page = Client().get(made(owner_client, run))
    text = page.content.decode()
    assert page.status_code == 200 and run.name in text and run.winner and run.winner.name in text
    assert "Leaderboard" in text and 'content="noindex"' in text and "no-store" in page["Cache-Control"]
    assert not re.search(r'href="/(?!static/)', text), "every link but those of style sheets leads to sign-in"


def test_a_link_opens_nothing_else(run: Run, owner_client: Client) -> None:
    address = made(owner_client, run)
    client = Client()
    client.get(address)
    for path in (f"/runs/{run.pk}/", f"/runs/{run.pk}/leaderboard.json", f"{address}leaderboard/"):
        assert client.get(path).status_code in (302, 404)
    assert client.post(address).status_code == 405


def test_a_link_ends_when_it_expires_is_revoked_or_its_run_is_deleted(run: Run, owner_client: Client) -> None:
    for end in (
        lambda: Link.objects.update(expires=timezone.now() - timedelta(seconds=1)),
        lambda: owner_client.post(f"/runs/{run.pk}/links/{Link.objects.latest('pk').pk}/revoke/"),
        lambda: owner_client.post(f"/runs/{run.pk}/delete/"),
    ):
        address = made(owner_client, run)
        assert Client().get(address).status_code == 200
        end()
        assert Client().get(address).status_code == 404


@pytest.mark.parametrize("key", ["x", "A" * 43, "\ud7ff", "%00", "a" * 5000])
def test_a_key_that_is_none_is_nowhere(db: None, key: str) -> None:
    assert Client().get(f"/shared/{key}/").status_code == 404


def test_the_database_does_not_hold_the_key(run: Run, owner_client: Client) -> None:
    key = made(owner_client, run).split("/")[2]
    with connection.cursor() as cursor:
        cursor.execute("SELECT row::text FROM people_link row")
        assert key not in str(cursor.fetchall())
    assert key not in owner_client.get(f"/runs/{run.pk}/links/").content.decode()


def test_a_run_has_no_more_links_than_it_may_have(run: Run, owner_client: Client) -> None:
    for _ in range(MAX_LINKS):
        made(owner_client, run)
    assert "are all that a run may have" in owner_client.post(f"/runs/{run.pk}/links/", {"days": 7}).content.decode()


def test_a_run_over_paths_is_read_too(owner: User, owner_client: Client) -> None:
    run = make_path_run(owner, n_generations=1, population=2)
    assert Client().get(made(owner_client, run)).status_code == 200


def test_a_link_costs_no_more_queries_however_many_candidates(
    owner: User, owner_client: Client, django_assert_max_num_queries: object
) -> None:
    run = make_run(owner, n_generations=3, population=8)
    address = made(owner_client, run)
    with django_assert_max_num_queries(12):  # type: ignore[operator]
        Client().get(address)
