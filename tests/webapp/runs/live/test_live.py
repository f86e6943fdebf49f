"""The live page: what it says in each state, to whom, and that it stays harmless whatever names say."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from tests.webapp.runs.rows import make_run
from webapp.runs.listing import time_left
from webapp.runs.live.summary import summary
from webapp.runs.models import Candidate, Evaluation, Run, RunState

pytestmark = pytest.mark.django_db


def page(client: Client, run: Run, query: str = "") -> str:
    answer = client.get(reverse("runs:detail", args=[run.pk]) + query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_page_is_the_owners_alone(
    owner: User, owner_client: Client, member_client: Client, stranger_client: Client
) -> None:
    address = reverse("runs:detail", args=[make_run(owner, n_generations=1).pk])
    assert owner_client.get(address).status_code == 200
    assert member_client.get(address).status_code == 404
    assert stranger_client.get(address).status_code == 302


@pytest.mark.parametrize(
    ("state", "offered"),
    [
        ("queued", {"pause", "stop"}),
        ("running", {"pause", "stop"}),
        ("pausing", {"resume", "stop"}),
        ("paused", {"resume", "stop"}),
        ("finishing", set()),
        ("done", set()),
        ("stopped", set()),
        ("failed", set()),
    ],
)
def test_the_page_offers_what_can_be_done(
    owner: User, owner_client: Client, state: RunState, offered: set[str]
) -> None:
    run = make_run(owner, state=state, n_generations=1)
    text = page(owner_client, run)
    assert {name for name in ("pause", "resume", "stop") if reverse(f"runs:{name}", args=[run.pk]) in text} == offered


def test_stopping_asks_first(owner: User, owner_client: Client) -> None:
    run = make_run(owner, n_generations=1)
    form = re.search(rf"<form[^>]*{reverse('runs:stop', args=[run.pk])}[^>]*>", page(owner_client, run))
    assert form and "data-confirm=" in form[0]


def test_a_pause_says_why(owner: User, owner_client: Client) -> None:
    run = make_run(owner, state="paused", n_generations=1)
    Run.objects.filter(pk=run.pk).update(message="The disk is full. Free 2 GB, then press Resume.")
    assert "The disk is full. Free 2 GB, then press Resume." in page(owner_client, run)


def test_failures_are_grouped_by_cause_with_an_example(owner: User, owner_client: Client) -> None:
    text = page(owner_client, make_run(owner, n_generations=2, n_failed=3))
    assert "3 failed: not finite." in text and "gave no finite numbers in layer 2" in text
    assert "Nothing is to be done: the search avoids what is like them." in text and ">g1.0</a>" in text


def test_where_memory_ran_out_the_page_leads_to_another_run(owner: User, owner_client: Client) -> None:
    run = make_run(owner, n_generations=1, population=2)
    candidate = run.candidates.filter(kind="evolved")[0]
    Evaluation.objects.create(run=run, candidate=candidate, split="full", status="failed", failure_kind="out_of_memory")
    text = page(owner_client, run)
    assert "1 failed: out of memory." in text and f"?like={run.pk}" in text


def test_the_gauge_answers_in_words(owner: User, owner_client: Client) -> None:
    run = make_run(owner, n_generations=2, population=4)
    assert "Too early to say." in page(owner_client, run, "?part=gauge")
    run = make_run(owner, n_generations=9, population=6)
    assert re.search(r"<strong>(Yes|Perhaps|No)\.</strong>", page(owner_client, run, "?part=gauge"))


def test_a_live_page_says_that_the_run_does_not_need_it(owner: User, owner_client: Client) -> None:
    said = "closing it, or losing the connection, stops nothing"
    assert said in page(owner_client, make_run(owner, n_generations=1))
    assert said not in page(owner_client, make_run(owner, state="done", n_generations=1, ending=True))


def test_what_was_not_scored_is_blank_and_never_zero(owner: User, owner_client: Client) -> None:
    text = page(owner_client, make_run(owner, n_generations=1))
    cells = re.findall(r'data-label="(?:Validation|Final), held out">(.*?)</td>', text, re.DOTALL)
    assert cells and set(cells) == {""}


def test_a_finished_run_shows_held_out_scores_of_winner_and_parents(owner: User, owner_client: Client) -> None:
    run = make_run(owner, state="done", n_generations=3, ending=True)
    text = page(owner_client, run)
    cells = re.findall(r'data-label="Final, held out">(.*?)</td>', text, re.DOTALL)
    assert sum(cell != "" for cell in cells) == 5
    assert reverse("runs:candidate", args=[run.pk, run.winner_id]) in text


def test_the_head_compares_the_best_with_the_best_parent(owner: User) -> None:
    run = make_run(owner, n_generations=2)
    found = summary(run, owner).row
    best = Evaluation.objects.filter(run=run, candidate__kind="evolved").order_by("-fitness")[0]
    parent = Evaluation.objects.filter(run=run, candidate__kind="parent").order_by("-mean")[0]
    assert found.best == best and found.parent == parent
    assert found.gain and found.gain.value == pytest.approx((best.mean or 0) - (parent.mean or 0))


@pytest.mark.parametrize(("pace", "n_left", "expected"), [(10, 6, 60), (None, 3, None), (9, 0, None), (0, 5, 0)])
def test_time_left_follows_the_recent_pace(pace: int | None, n_left: int, expected: int | None) -> None:
    left = time_left(None if pace is None else timedelta(seconds=pace), n_left)
    assert left == (None if expected is None else timedelta(seconds=expected))


def test_the_pace_is_that_of_the_latest_candidates(owner: User) -> None:
    run = make_run(owner, n_generations=2, population=8, budget=20)  # 0.7 s each
    left = summary(run, owner).row.left
    assert left is not None and left.total_seconds() == pytest.approx(4 * 0.7)


def test_nothing_is_estimated_while_paused(owner: User) -> None:
    assert summary(make_run(owner, state="paused"), owner).row.left is None


def test_device_time_is_that_of_all_scores(owner: User) -> None:
    work = summary(make_run(owner, n_generations=1, population=4), owner).row.work
    assert (work.n_through, work.n_done) == (4, 8)  # with two parents and two baselines
    assert work.seconds == pytest.approx(8 * 0.72) and work.merging == pytest.approx(0.02 / 0.72)


def test_the_parts_are_the_same_as_in_the_page(owner: User, owner_client: Client) -> None:
    run = make_run(owner, n_generations=1)
    named = r'data-part="(\w+)"'
    parts = page(owner_client, run, "?part=live")
    assert "<html" not in parts
    assert re.findall(named, parts) and set(re.findall(named, parts)) == set(re.findall(named, page(owner_client, run)))


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7|add:7 }}"])
def test_names_are_text(owner: User, owner_client: Client, name: str) -> None:
    run = make_run(owner, n_generations=1, name=name)
    Candidate.objects.filter(run=run, kind="parent").update(name=name)
    text = page(owner_client, run)
    assert escape(name) in text
    assert "<img src=x" not in text and "<script>" not in text


def test_no_page_needs_inline_styles_or_scripts(owner: User, owner_client: Client) -> None:
    run = make_run(owner, state="done", n_generations=2, ending=True)
    pages: list[Any] = [page(owner_client, run)]
    pages.append(owner_client.get(reverse("runs:candidate", args=[run.pk, run.winner_id])).content.decode())
    for text in pages:
        assert not re.search(r"<[^>]+\sstyle=", text)
        assert not re.search(r"<[^>]+\son\w+=", text)
        assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text))
