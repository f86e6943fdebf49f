"""Stars, notes and tags: who may set them, who sees them, and what is left of them."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError
from django.test import Client
from django.urls import reverse

from tests.webapp.runs.rows import make_run
from webapp.marks import actions, queries
from webapp.marks.models import Mark
from webapp.runs.models import Candidate, Run
from webapp.sharing.actions import share

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(owner: User) -> Run:
    return make_run(owner, n_generations=1, population=2, n_samples=10)


@pytest.fixture
def candidate(run: Run) -> Candidate:
    return run.candidates.filter(kind="evolved")[0]


def post(client: Client, name: str, candidate: Candidate, htmx: bool = True, **sent: str) -> str:
    headers = {"HX-Request": "true"} if htmx else {}
    answer = client.post(reverse(f"marks:{name}", args=[candidate.run_id, candidate.pk]), sent, headers=headers)
    assert answer.status_code == (200 if htmx else 302)
    return answer.content.decode()


def page(client: Client, candidate: Candidate) -> str:
    return client.get(reverse("runs:candidate", args=[candidate.run_id, candidate.pk])).content.decode()


def test_a_star_is_given_and_taken_back(candidate: Candidate, owner: User, owner_client: Client) -> None:
    assert 'aria-pressed="true"' in post(owner_client, "star", candidate, on="1")
    assert 'aria-pressed="true"' in post(owner_client, "star", candidate, on="1")  # twice is once
    assert list(queries.starred()) == [candidate.pk]
    assert 'aria-pressed="false"' in post(owner_client, "star", candidate, on="0")
    assert not Mark.objects.exists()


def test_taking_a_star_back_leaves_the_note(candidate: Candidate, owner: User) -> None:
    actions.star(candidate, owner, True)
    actions.annotate(candidate, owner, "keeps counting", ["good"])
    actions.star(candidate, owner, False)
    mark = Mark.objects.get()
    assert (mark.is_starred, mark.note, mark.tags) == (False, "keeps counting", ["good"])


def test_an_empty_note_leaves_the_star(candidate: Candidate, owner: User) -> None:
    actions.star(candidate, owner, True)
    actions.annotate(candidate, owner, "once", [])
    actions.annotate(candidate, owner, "", [])
    assert Mark.objects.get().is_starred
    actions.star(candidate, owner, False)
    assert not Mark.objects.exists()


def test_a_mark_that_says_nothing_is_refused_by_the_database(candidate: Candidate, owner: User) -> None:
    with pytest.raises(IntegrityError):
        Mark.objects.create(candidate=candidate, owner=owner)


def test_notes_of_all_who_may_edit_are_seen_by_all_who_see_the_run(
    run: Run, candidate: Candidate, owner_client: Client, member: User, member_client: Client
) -> None:
    share(run, member, "editor")
    post(owner_client, "note", candidate, note="mine <b>", tags="fast, good  Japanese,fast")
    post(member_client, "note", candidate, note="theirs")
    share(run, member, "viewer")
    for seen in (page(owner_client, candidate), page(member_client, candidate)):
        assert "mine &lt;b&gt;" in seen and "good Japanese" in seen and "theirs" in seen
    assert reverse("marks:note", args=[run.pk, candidate.pk]) not in page(member_client, candidate)


def test_tags_are_words_between_commas_each_once(candidate: Candidate, owner_client: Client) -> None:
    assert "Saved." in post(owner_client, "note", candidate, tags=" fast, good  Japanese ,fast,")
    assert Mark.objects.get().tags == ["fast", "good Japanese"]


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"tags": "x" * 41}, "has 41 characters; a tag has at most 40"),
        ({"tags": ",".join(map(str, range(13)))}, "13 tags; at most 12 fit"),
        ({"note": "x" * 4001}, "at most 4000 characters"),
        ({"note": "a\x00b"}, "Null characters are not allowed"),
    ],
)
def test_what_does_not_fit_is_refused_in_words_and_kept_in_the_form(
    candidate: Candidate, owner_client: Client, sent: dict[str, str], said: str
) -> None:
    answer = post(owner_client, "note", candidate, **sent)
    assert said in answer and not Mark.objects.exists()
    assert next(iter(sent.values()))[:20].replace("\x00", "") in answer.replace("\x00", "")


def test_without_scripts_forms_lead_back_to_the_candidate(candidate: Candidate, owner_client: Client) -> None:
    post(owner_client, "star", candidate, htmx=False, on="1")
    post(owner_client, "note", candidate, htmx=False, note="by hand")
    assert "by hand" in page(owner_client, candidate)


def test_marks_of_a_run_are_one_query(run: Run, owner: User, django_assert_num_queries) -> None:  # type: ignore[no-untyped-def]
    for candidate in run.candidates.all():
        actions.star(candidate, owner, True)
    with django_assert_num_queries(1):
        found = queries.of_run(run, owner)
        assert {marked.n_stars for marked in found.values()} == {1} and all(m.is_mine for m in found.values())
