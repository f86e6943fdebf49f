"""The list of downloads: whose are on it, what each row says in its state, and that only rows under way ask for themselves again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from tests.webapp.exports.rows import built
from tests.webapp.runs.rows import make_run
from webapp.exports.models import Export
from webapp.runs.models import Run
from webapp.sharing.actions import share

pytestmark = pytest.mark.django_db
FILES = {"config.json": b"{}", "model.safetensors": bytes(1500)}


@pytest.fixture
def run(owner: User, settings: Any, tmp_path: Path) -> Run:
    found = make_run(owner, state="done", n_generations=1, population=4, ending=True)
    settings.DATA_DIR = tmp_path
    return found


def asked_for(run: Run, index: int, **columns: Any) -> Export:
    return Export.objects.create(owner=run.owner, candidate=run.candidates.get(name=f"g0.{index}"), **columns)


def failed(run: Run, index: int) -> Export:
    words = {"failure_kind": "disk full", "failure": "2.0 GB are missing. Make room and build it again."}
    return asked_for(run, index, status="failed", finished=timezone.now(), **words)


def shown(client: Client, query: str = "") -> str:
    return client.get(reverse("exports:list") + query).content.decode()


def test_without_exports_the_list_leads_to_the_newest_winner(owner_client: Client, run: Run) -> None:
    page = shown(owner_client)
    assert "No exports yet" in page
    assert reverse("runs:candidate", args=[run.pk, run.winner_id]) in page


def test_without_a_winner_it_leads_to_the_runs(member_client: Client, run: Run) -> None:
    page = shown(member_client)
    assert "No run has chosen its winner yet" in page
    assert run.name not in page


def test_a_row_has_what_its_state_calls_for(owner_client: Client, run: Run) -> None:
    done, broken, waiting = built(run.candidates.get(name="g0.1"), FILES), failed(run, 2), asked_for(run, 3)
    page = shown(owner_client)
    assert reverse("exports:zip", args=[done.pk]) in page
    assert done.files.get(name="config.json").sha256 in page
    assert "2.0 GB are missing. Make room and build it again." in page
    assert page.count("Build again") == 1
    assert [reverse("exports:row", args=[one.pk]) in page for one in (done, broken, waiting)] == [False, False, True]


def test_a_row_under_way_shows_its_stage_until_it_is_there(owner_client: Client, run: Run) -> None:
    export = asked_for(run, 1, status="leased", lease_token=1, lease_until=timezone.now(), stage="merge", progress=0.4)
    row = owner_client.get(reverse("exports:row", args=[export.pk])).content.decode()
    assert "Merging" in row and 'value="0.400"' in row and "every 2s" in row
    Export.objects.filter(pk=export.pk).update(status="done", lease_until=None, n_bytes=5)
    row = owner_client.get(reverse("exports:row", args=[export.pk])).content.decode()
    assert "Zip" in row and "every 2s" not in row


def test_what_is_shown_is_in_the_address(owner_client: Client, run: Run) -> None:
    built(run.candidates.get(name="g0.1"), FILES)
    failed(run, 2)
    assert [name in shown(owner_client, "?show=failed") for name in ("g0.1<", "g0.2<")] == [False, True]
    assert "None is building" in shown(owner_client, "?show=building")


def test_people_see_those_of_shared_runs_and_remove_none(member_client: Client, member: User, run: Run) -> None:
    built(run.candidates.get(name="g0.1"), FILES)
    failed(run, 2)
    assert "g0.1" not in shown(member_client)
    share(run, member, "viewer")
    page = shown(member_client)
    assert "g0.1" in page and "shared by owner" in page
    assert "Remove" not in page and "Build again" not in page


def test_what_is_removed_or_built_again_on_the_list_leads_back_to_it(owner_client: Client, run: Run) -> None:
    done, broken = built(run.candidates.get(name="g0.1"), FILES), failed(run, 2)
    for address in (
        reverse("exports:remove", args=[done.pk]),
        reverse("exports:start", args=[run.pk, broken.candidate_id]),
    ):
        assert owner_client.post(address, {"back": "list"})["Location"] == reverse("exports:list")


def test_a_long_list_costs_no_more_than_a_short_one(
    owner_client: Client, owner: User, run: Run, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    built(run.candidates.get(name="g0.0"), FILES)
    shown(owner_client)  # the pills are known for some seconds
    with django_assert_num_queries(6):
        shown(owner_client)
    for index in range(1, 4):
        built(run.candidates.get(name=f"g0.{index}"), FILES)
    with django_assert_num_queries(6):
        shown(owner_client)
