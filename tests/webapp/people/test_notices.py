"""The bell: what ended, paused by itself or was built since one looked, of one's own."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.webapp.exports.rows import built
from tests.webapp.runs.rows import make_run
from webapp.runs import transitions

PAGE = "/notices/"


def bell(client: Client) -> str:
    return client.get(PAGE, headers={"HX-Request": "true"}).content.decode()


def listed(client: Client) -> list[Any]:
    return [(one.name.split(" of ")[0], one.what, one.is_new) for one in client.get(PAGE).context["notices"]]


def test_what_has_happened_is_new_until_one_has_looked(owner: User, owner_client: Client) -> None:
    run = make_run(owner, state="done", n_generations=1, population=2, ending=True, name="ended")
    built(run.candidates.filter(kind="evolved")[0], {"config.json": b"{}"})
    assert sorted(listed(owner_client)) == [("ended", "is done", True), ("g0.0", "is built", True)]
    assert ", 2 new" in bell(owner_client)
    owner_client.post(f"{PAGE}seen/")
    assert {is_new for _, _, is_new in listed(owner_client)} == {False} and "new" not in bell(owner_client)


def test_a_run_that_paused_by_itself_is_told_and_one_that_somebody_paused_is_not(
    owner: User, owner_client: Client
) -> None:
    runs = [make_run(owner, n_generations=1, population=2, name=name) for name in ("full", "by hand")]
    transitions.pause(runs[0].pk, "the disk is full")
    transitions.pause(runs[1].pk)
    assert listed(owner_client) == [("full", "has paused", True)]
    assert "the disk is full" in owner_client.get(PAGE).content.decode()


def test_nobody_is_told_of_what_others_have(owner: User, member_client: Client) -> None:
    make_run(owner, state="failed", n_generations=1, population=2, name="secret")
    assert listed(member_client) == []
    assert "Nothing has happened yet" in member_client.get(PAGE).content.decode()


@pytest.mark.parametrize("state", ["done", "stopped", "failed"])
def test_how_it_ended_is_said(owner: User, owner_client: Client, state: str) -> None:
    make_run(owner, state=state, n_generations=1, population=2, name="it")
    words = {"done": "is done", "stopped": "was stopped", "failed": "failed"}[state]
    assert listed(owner_client) == [("it", words, True)]
