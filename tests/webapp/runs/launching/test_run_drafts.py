"""Drafts of new runs: kept as they are filled in, restored, one's own alone, gone when they are launched."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.webapp.runs.choices import Library, checked, form, library
from webapp.runs.launching import saved_drafts
from webapp.runs.models import RunDraft

NEW = "/runs/new/"
KEEP = "/runs/new/draft/"


@pytest.fixture
def chosen(owner: User, tmp_path: Path) -> Library:
    return library(owner, tmp_path)


def test_what_was_typed_comes_back_right_or_wrong(chosen: Library, owner_client: Client) -> None:
    sent = form(chosen, budget="many", name="half done", parents=[chosen.first.pk], method="ties", override="on")
    assert owner_client.post(KEEP, sent).status_code == 204
    page = owner_client.get(NEW).content.decode()
    assert "restored" in page and 'value="many"' in page and 'value="half done"' in page and 'value="k1"' in page
    assert checked(page, "parents") == {str(chosen.first.pk)} and checked(page, "method") == {"ties"}
    (override,) = [tag for tag in page.split("<input") if 'name="override"' in tag]
    assert "checked" in override.split(">")[0]


def test_a_box_without_a_tick_stays_so_and_settings_of_other_methods_are_as_they_come(
    chosen: Library, owner_client: Client
) -> None:
    owner_client.post(KEEP, form(chosen, method="linear"))
    page = owner_client.get(NEW).content.decode()
    (normalize,) = [tag for tag in page.split("<input") if 'name="linear-normalize"' in tag]
    assert "checked" not in normalize.split(">")[0]
    assert 'name="ties-lambda" value="1.0"' in page


def test_a_form_is_one_draft_however_often_it_changes(chosen: Library, owner_client: Client) -> None:
    for budget in ("40", "41"):
        owner_client.post(KEEP, form(chosen, budget=budget))
    assert RunDraft.objects.get().data["budget"] == ["41"]
    assert "csrfmiddlewaretoken" not in RunDraft.objects.get().data


def test_a_preset_begins_afresh_and_the_draft_waits(chosen: Library, owner_client: Client) -> None:
    owner_client.post(KEEP, form(chosen, name="half done"))
    page = owner_client.get(f"{NEW}?preset=own").content.decode()
    draft = RunDraft.objects.get()
    assert "half done" not in page and f"?draft={draft.pk}" in page
    assert "half done" in owner_client.get(f"{NEW}?draft={draft.pk}").content.decode()


def test_a_launched_draft_is_gone_and_does_not_come_back(chosen: Library, owner_client: Client) -> None:
    owner_client.post(KEEP, form(chosen))
    owner_client.post(NEW, form(chosen))
    assert not RunDraft.objects.exists()
    assert owner_client.post(KEEP, form(chosen)).content == b"this form was launched"
    assert not RunDraft.objects.exists()


def test_starting_afresh_throws_it_away(chosen: Library, owner_client: Client) -> None:
    owner_client.post(KEEP, form(chosen))
    answer = owner_client.post("/runs/new/afresh/", {"key": "k1"})
    assert answer.url == f"{NEW}?preset=own" and not RunDraft.objects.exists()


def test_drafts_are_ones_own(chosen: Library, owner_client: Client, member_client: Client) -> None:
    owner_client.post(KEEP, form(chosen, name="half done"))
    draft = RunDraft.objects.get()
    assert member_client.get(f"{NEW}?draft={draft.pk}").status_code == 404
    assert "half done" not in member_client.get(NEW).content.decode()
    member_client.post(KEEP, {"key": "k1", "name": "another"})
    member_client.post("/runs/new/afresh/", {"key": "k1"})
    assert RunDraft.objects.get().data["name"] == ["half done"]


def test_a_few_are_kept_the_oldest_goes(owner: User) -> None:
    for i in range(saved_drafts.MAX_DRAFTS + 2):
        saved_drafts.keep(owner, f"k{i}", {"name": [str(i)]})
    kept = [draft.key for draft in saved_drafts.drafts_of(owner)]
    assert kept == [f"k{i}" for i in reversed(range(2, saved_drafts.MAX_DRAFTS + 2))]


@pytest.mark.parametrize("key", ["", "x" * 33, "a b", "a\0b"])
def test_a_draft_needs_the_key_of_a_form(owner_client: Client, key: str) -> None:
    assert owner_client.post(KEEP, {"key": key}).status_code == 400


def test_what_a_database_cannot_hold_is_left_out_and_too_much_is_refused(owner_client: Client) -> None:
    assert owner_client.post(KEEP, {"key": "k1", "name": "a\0b"}).status_code == 204
    assert RunDraft.objects.get().data["name"] == ["ab"]
    assert owner_client.post(KEEP, {"key": "k2", "name": "x" * saved_drafts.MAX_BYTES}).status_code == 400
    assert RunDraft.objects.count() == 1


def test_names_and_notes_are_cleaned_as_values_are(owner: User) -> None:
    draft = saved_drafts.keep(owner, "k1", {"na\0me": ["1"]}, ["a\0b"])
    assert (draft.data, draft.notes) == ({"name": ["1"]}, ["ab"])
