"""What somebody else has leaves no trace in lists, counts, forms and searches; and a shared run brings along nothing but itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.access.world import World, make_world
from tests.webapp.runs.path_rows import make_path_run
from tests.webapp.runs.rows import make_run
from webapp.queue import queue
from webapp.sharing.actions import share
from webapp.system import pills

PAGES = (
    "/", "/?show=live", "/?show=ended", "/?q=sums", "/?page=2", "/runs/new/", "/models/", "/models/?model=1&model=2&model=3",
    "/benchmarks/", "/benchmarks/tasks/", "/benchmarks/tasks/requests/", "/account/", "/healthz", "/sign-in/",
    "/trials/", "/hub/", "/hub/downloads/", "/models/similarity/", "/exports/", "/exports/?show=ready", "/system/?tab=limits",
)  # fmt: skip
SECRETS = ("Paths of Japanese sums", "what follows", "secret_task", "sums.jsonl", "tried alone", "secret/model")
OWN_TOKEN = re.compile(r'(csrfmiddlewaretoken" value="|X-CSRFToken": "|name="key" value=")[^"]+')


@pytest.fixture(autouse=True)
def nothing_in_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is about this machine, and asks the database every few seconds."""
    monkeypatch.setattr(pills, "pills", list)


def seen(client: Client) -> dict[str, str]:
    """Every page as it is, but for what is drawn by lot."""
    return {page: OWN_TOKEN.sub(r"\1", client.get(page).content.decode()) for page in PAGES}


def test_a_member_sees_the_same_whatever_somebody_else_has(
    member_client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "send_task", lambda *words, **options: None)
    User.objects.filter(username="member").update(username="somebody")
    make_path_run(User.objects.create_user("third"), n_generations=1, population=2)  # with models for everybody
    before = seen(member_client)
    world = make_world(tmp_path)
    for number in range(3):
        make_run(world.users["owner"], n_generations=1, population=2, name=f"secret {number}")
    after = seen(member_client)
    assert {page for page in PAGES if before[page] != after[page]} == set()
    system = member_client.get("/system/").content.decode()
    assert [secret for secret in (*SECRETS, "secret 0") if secret in "".join(after.values()) + system] == []


def test_the_list_asks_the_same_of_the_database_whatever_somebody_else_has(world: World) -> None:
    """Times tell as much as texts."""
    client = world.client("member")
    with CaptureQueriesContext(connection) as alone:
        client.get("/")
    for _ in range(5):
        make_run(world.users["owner"], n_generations=1, population=2)
    with CaptureQueriesContext(connection) as beside:
        client.get("/")
    assert len(alone) == len(beside)


def test_who_is_shared_a_run_sees_that_one_alone(world: World) -> None:
    other = make_run(world.users["owner"], n_generations=1, population=2, name="kept to themselves")
    client = world.client("editor")
    pages = ("/", "/?q=kept", "/runs/new/", "/models/", "/benchmarks/", world.address("runs:detail"))
    shown = "".join(client.get(page).content.decode() for page in pages)
    assert world.run.name in shown
    assert str(other.pk) not in shown and other.name not in shown.replace('value="kept"', "")
    assert client.get("/").context["page"].paginator.count == 1


def test_a_list_of_shared_runs_takes_no_query_for_each(world: World) -> None:
    client = world.client("viewer")

    def n_queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            client.get("/")
        return len(asked)

    alone = n_queries()
    for number in range(4):
        owner = User.objects.create_user(f"owner {number}")
        share(make_run(owner, n_generations=1, population=2), world.users["viewer"], "editor")
    assert n_queries() == alone
