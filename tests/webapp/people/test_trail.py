"""Who did what to which object: told of every deed once, to those whom it concerns, and never changed."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.test import Client

from tests.access.matrix import API, HTTP, rows
from tests.access.world import World
from tests.webapp.api.asking import Program
from webapp.people.deeds import DEEDS
from webapp.people.models import Act
from webapp.people.signing_in import IN

UNTOLD = {
    "runs:new_summary", "runs:new_draft", "runs:new_afresh", "runs:new_import", "runs:new_try",  # a form that is filled in
    "runs:probe", "runs:archive", "marks:star", "marks:note", "people:seen", "people:channel_test",  # looking, and putting things in order
    "library:starters", "library:benchmark_task_request", "library:benchmark_task_forget",  # asks for what is public
    "trials:start", "trials:forget", "hub:similarity",  # looks at models, and counts for nothing
    "accounts:login", "accounts:logout", "accounts:setup",  # told by what signing in says itself
    "api:create_import", "api:archive_run", "api:unarchive_run",
}  # fmt: skip


def told() -> list[str]:
    """The acts in words, the latest first, but for those of signing in."""
    acts = Act.objects.exclude(words=IN.words)
    return [" ".join(filter(None, (act.who, act.words, act.kind, f"“{act.name}”", act.detail))) for act in acts]


def test_every_route_that_writes_is_told_or_said_not_to_be() -> None:
    writes = {row.route for row in [*rows(HTTP), *rows(API)] if row.method != "GET"}
    assert writes - DEEDS.keys() - UNTOLD == set()
    assert UNTOLD - writes == set() and UNTOLD & DEEDS.keys() == set()


def test_a_deed_is_told_once_with_who_what_and_how(world: World) -> None:
    world.ask("editor", "POST", "runs:rename")
    act = Act.objects.get(words="renamed")
    assert (act.who, act.kind, act.key, act.name, act.detail) == (
        "editor", "run", str(world.run.pk), "Paths of Japanese sums", "another name",
    )  # fmt: skip
    assert act.owner == world.users["owner"].pk


def test_what_is_gone_is_told_by_its_name(world: World) -> None:
    world.ask("owner", "POST", "exports:remove")
    world.ask("owner", "POST", "api:revoke")
    world.ask("owner", "POST", "runs:delete")
    assert told()[:3] == [
        "owner deleted run “Paths of Japanese sums”",
        "owner revoked token “a laptop”",
        "owner removed export “Paths of Japanese sums g0.0”",
    ]


def test_what_was_refused_is_not_told(world: World) -> None:
    for person, route in (("member", "runs:delete"), ("viewer", "runs:delete"), ("anonymous", "runs:delete")):
        world.ask(person, "POST", route)
    world.client("owner").post(world.address("api:tokens"), {"name": ""})
    assert told() == []


def test_a_program_is_told_by_its_token_and_a_launch_by_its_run(world: World) -> None:
    Program(world.users["owner"]).post(f"/runs/{world.run.pk}/pause")
    act = Act.objects.get(words="paused")
    assert (act.who, act.token, act.words, act.key) == ("owner", "a program", "paused", str(world.run.pk))


def test_a_download_is_told(world: World) -> None:
    for method in ("HEAD", "GET"):
        world.ask("viewer", method, "exports:file")
    assert told() == ["viewer downloaded export “Paths of Japanese sums g0.0”"]


def test_signing_in_and_being_refused_are_told(db: None) -> None:
    User.objects.create_user("somebody", password="a good password")
    for name, password in (("somebody", "wrong"), ("my password", "x"), ("somebody", "a good password")):
        Client().post("/sign-in/", {"username": name, "password": password})
    assert [(act.who, act.words, act.name) for act in Act.objects.all()] == [
        ("somebody", "signed in to", "somebody"),
        ("somebody", "was refused at", "somebody"),
    ]


@pytest.mark.parametrize("change", ["UPDATE people_act SET who = 'x'", "DELETE FROM people_act", "TRUNCATE people_act"])
def test_the_database_refuses_to_change_the_trail(world: World, change: str) -> None:
    world.ask("owner", "POST", "runs:pause")
    with pytest.raises(IntegrityError, match="only ever added to"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change)
    assert len(told()) == 1


def test_everybody_reads_what_concerns_them_and_staff_no_names_of_others(world: World) -> None:
    world.ask("editor", "POST", "runs:pause")
    pages = {person: world.client(person).get("/trail/").content.decode() for person in world.users}
    assert {person for person, page in pages.items() if "asked to pause" in page} == {"editor", "owner", "admin"}
    assert {person for person, page in pages.items() if "Paths of Japanese sums" in page} == {"editor", "owner"}


def test_the_trail_goes_on_in_pages(member: User, member_client: Client) -> None:
    Act.objects.bulk_create(Act(user=member.pk, who="member", words=f"did {i}", kind="run") for i in range(60))
    first = member_client.get("/trail/")
    assert len(first.context["acts"]) == 50
    older = member_client.get("/trail/", {"before": first.context["older"]})
    assert [act.words for act in older.context["acts"] if act.words != IN.words] == [
        f"did {i}" for i in range(9, -1, -1)
    ]
    assert not member_client.get("/trail/", {"who": "nobody"}).context["acts"]
