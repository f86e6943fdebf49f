"""The log of a run: plain sentences, levels, pages by event number."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from tests.webapp.runs.rows import make_run
from webapp.runs import events
from webapp.runs.live import log
from webapp.runs.models import Attempt, Event, Run

pytestmark = pytest.mark.django_db


def tell(run: Run, state: str, message: str = "") -> None:
    events.record(run.pk, "run.state", {"state": state, "message": message, "stopping": False})


def sentences(run: Run, everything: bool = False) -> list[str]:
    return [entry.sentence for entry in log.page(run, None, everything).entries]


def test_generations_and_states_are_told_newest_first(owner: User) -> None:
    run = make_run(owner, n_generations=2, population=3)
    tell(run, "finishing")
    assert sentences(run) == [
        "The search is over. The final exam begins.",
        "Generation 1 ends.",
        "Generation 1 begins with 3 candidates.",
        "Generation 0 ends.",
        "Generation 0 begins with 3 candidates.",
        "It runs.",
    ]


def test_scores_are_told_when_everything_is_asked_for(owner: User) -> None:
    run = make_run(owner, n_generations=1, population=1)
    assert any(sentence.startswith("g0.0 scored ") for sentence in sentences(run, everything=True))
    assert not any("scored" in sentence for sentence in sentences(run))


def test_a_run_that_was_paused_goes_on(owner: User) -> None:
    run = make_run(owner, n_generations=0)
    for state in ("pausing", "paused", "running"):
        tell(run, state)
    assert sentences(run)[0] == "It goes on."


def test_failures_warn_and_a_failed_run_is_an_error(owner: User) -> None:
    run = make_run(owner, n_generations=2, n_failed=1)
    tell(run, "failed", "The disk is full.")
    newest, *_, _ = log.page(run, None, False).entries
    assert (newest.level, newest.detail) == ("error", "The disk is full.")
    failed = next(entry for entry in log.page(run, None, False).entries if "failed on" in entry.sentence)
    assert failed.level == "warning" and failed.sentence == "g1.0 failed on the search questions: not finite."


def test_a_lost_worker_stands_where_it_was_lost(owner: User) -> None:
    run = make_run(owner, n_generations=1, population=2)
    now = timezone.now()
    tell(run, "pausing")
    Event.objects.filter(run=run).update(created=now - timedelta(minutes=2))
    Event.objects.filter(run=run, seq=Run.objects.get(pk=run.pk).next_seq - 1).update(created=now)
    evaluation = run.evaluations.filter(candidate__kind="evolved")[0]
    Attempt.objects.create(
        token=1, evaluation=evaluation, worker="w1", code_version="1", outcome="lost", ended=now - timedelta(minutes=1),
        error="It did not report.",
    )  # fmt: skip
    pausing, lost, *_ = log.page(run, None, False).entries
    assert pausing.sentence.startswith("It pauses")
    assert (lost.sentence, lost.detail, lost.level) == ("w1 was lost with g0.0.", "It did not report.", "warning")


def test_pages_follow_one_another_without_gap(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "PER_PAGE", 4)
    run = make_run(owner, n_generations=3, population=2)
    keys: list[str] = []
    before: int | None = None
    while True:
        found = log.page(run, before, True)
        keys += [entry.key for entry in found.entries]
        if found.older is None:
            break
        before = found.older
    assert keys == [str(seq) for seq in range(run.next_seq - 1, 0, -1)]


def test_a_page_takes_four_queries_at_most(owner: User, django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    run = make_run(owner, state="done", n_generations=3, n_failed=1, ending=True)
    with django_assert_max_num_queries(4):
        log.page(run, None, True)


def test_the_address_chooses_view_and_page(owner: User, owner_client: Client) -> None:
    run = make_run(owner, n_generations=1, population=2)
    address = reverse("runs:detail", args=[run.pk])
    text = owner_client.get(f"{address}?part=deep&log=everything&before=5").content.decode()
    assert "before event 5" in text and 'data-entry="4"' in text and 'data-entry="5"' not in text
    assert 'data-plot="timeline"' in owner_client.get(f"{address}?part=deep&view=workers").content.decode()
    assert 'data-plot="heatmap"' in owner_client.get(f"{address}?part=deep&view=genes").content.decode()
    assert "In detail" in owner_client.get(f"{address}?part=deep&view=nonsense&before=x").content.decode()
