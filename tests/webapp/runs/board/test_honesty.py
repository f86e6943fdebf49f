"""What a page must not hide: answers that cannot be trusted, public test sets, and when the final exam was held."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone

from tests.ledger import world
from tests.webapp.runs.choices import Library, draft, form, library
from tests.webapp.runs.rows import make_run
from webapp.exports.actions import request_export
from webapp.exports.cards import model_card
from webapp.library.models import Benchmark
from webapp.runs import winners
from webapp.runs.board import leaderboard
from webapp.runs.config import Override, RunConfig
from webapp.runs.launching.drafts import plan
from webapp.runs.launching.problems import DraftError
from webapp.runs.live import series
from webapp.runs.live.summary import summary
from webapp.runs.models import Evaluation, Run, Score

pytestmark = pytest.mark.django_db
CONCERN = "42 of 50 completions repeat themselves in a loop"


@pytest.fixture
def chosen(owner: User, tmp_path: Path) -> Library:
    found = library(owner, tmp_path)
    Benchmark.objects.update(is_public_test=True)
    found.benchmark.refresh_from_db()
    return found


def doubt(run: Run, n: int) -> list[str]:
    """Make the best `n` candidates of a run unhealthy, before anything is final; returns their names, the best first."""
    best = run.evaluations.filter(split="search", candidate__kind="evolved").order_by(
        "-fitness", "candidate__generation__number", "candidate__index"
    )[:n]
    chosen = list(best)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # what is done never changes, but here
        Evaluation.objects.filter(pk__in=[e.pk for e in chosen]).update(is_healthy=False)
        cursor.execute("SET LOCAL session_replication_role = origin")
    Score.objects.filter(evaluation__in=chosen).update(concerns=[CONCERN])
    return [evaluation.candidate.name for evaluation in chosen]


def test_a_candidate_whose_answers_cannot_be_trusted_is_not_ranked(owner: User, owner_client: Client) -> None:
    run = make_run(owner, n_generations=2)
    names = doubt(run, 2)
    board = leaderboard.board(run, 16)
    assert [row.candidate.name for row in board.unranked] == names and board.n_unranked == 2
    assert not {row.candidate.name for row in board.rows} & set(names)
    page = owner_client.get(f"/runs/{run.pk}/").content.decode()
    assert "Not ranked: 2 candidates whose answers cannot be trusted" in page and page.count(CONCERN) == 2


def test_a_finalist_whose_further_answers_cannot_be_trusted_is_counted_among_the_unranked(owner: User) -> None:
    run = make_run(owner, n_generations=1)
    (best,) = winners.best(run)
    shares = {"mean": 0.5, "low": 0.2, "high": 0.8, "n": 5}
    full = Evaluation.objects.create(
        run=run, candidate=best, split="full", status="done", fitness=0.5, is_healthy=False, **shares
    )
    Score.objects.create(evaluation=full, index=0, benchmark="sums", right=0.5, seconds=0, concerns=[CONCERN], **shares)
    board = leaderboard.board(run, 8)
    assert [row.candidate for row in board.unranked] == [best] and board.n_unranked == 1


def test_the_chart_is_told_whose_answers_cannot_be_trusted(owner: User) -> None:
    run = make_run(owner, n_generations=1)
    names = set(doubt(run, 2))
    found = series.snapshot(run.pk)
    dots = zip(found["dots"]["number"], found["dots"]["index"], strict=True)
    assert {f"g0.{index}" for number, index in dots if number in found["doubted"]} == names
    assert len(found["doubted"]) == 2


def test_its_own_page_says_why(owner: User, owner_client: Client) -> None:
    run = make_run(owner, n_generations=1)
    (name,) = doubt(run, 1)
    candidate = run.candidates.get(name=name)
    page = owner_client.get(f"/runs/{run.pk}/candidates/{candidate.pk}/").content.decode()
    assert "The answers cannot be trusted." in page and f"Search: {CONCERN}." in page


def test_it_cannot_win_while_another_can(owner: User) -> None:
    run = make_run(owner, n_generations=2)
    names = doubt(run, 3)
    finalists = winners.best(run, 3)
    assert len(finalists) == 3 and not {candidate.name for candidate in finalists} & set(names)
    best = summary(run, owner).row.best
    assert best and best.candidate == finalists[0]


def test_it_wins_when_no_other_can(owner: User) -> None:
    run = make_run(owner, n_generations=1, population=4)
    names = doubt(run, 4)
    assert [candidate.name for candidate in winners.best(run, 2)] == names[:2]
    assert leaderboard.board(run, 4).n_unranked == 4


def test_a_search_on_a_public_test_set_is_refused(chosen: Library) -> None:
    with pytest.raises(DraftError, match="the search questions of sums are a public test set"):
        plan(draft(chosen))


def test_an_owner_may_override_and_name_and_time_are_frozen(chosen: Library, owner_client: Client) -> None:
    assert not Run.objects.exists()
    page = owner_client.post("/runs/new/", form(chosen)).content.decode()
    assert "tick that you search on it all the same" in page and 'name="override"' in page
    owner_client.post("/runs/new/", form(chosen, override="on"))
    override = RunConfig.from_json(Run.objects.get().config).override
    assert override and override.by == "owner" and override.day == f"{timezone.now():%Y-%m-%d}"


def test_an_override_that_nothing_needs_is_not_kept(chosen: Library) -> None:
    Benchmark.objects.update(is_public_test=False)
    chosen.benchmark.refresh_from_db()
    assert plan(draft(chosen, override=Override("owner", "2026-01-01T00:00:00+00:00"))).config.override is None


def test_two_presses_with_an_override_launch_one_run(chosen: Library, owner_client: Client) -> None:
    urls = {owner_client.post("/runs/new/", form(chosen, override="on")).url for _ in range(2)}
    assert len(urls) == Run.objects.count() == 1


def test_the_override_is_stamped_on_leaderboard_and_model_card(owner: User, owner_client: Client) -> None:
    run = make_run(owner, state="done", n_generations=1, ending=True)
    run.config["override"] = {"by": "owner", "at": "2026-11-28T01:02:03+00:00"}
    run.save(update_fields=["config"])
    assert "allowed by owner on 2026-11-28" in owner_client.get(f"/runs/{run.pk}/").content.decode()
    assert run.winner
    card = model_card(request_export(owner, run.winner))
    assert "> **Searched on a public test set**, allowed by owner on 2026-11-28." in card


def test_the_final_exam_is_dated_and_its_finalists_are_marked(
    owner: User, owner_client: Client, tmp_path: Path
) -> None:
    run = world.work(world.launch(owner, tmp_path))
    page = owner_client.get(f"/runs/{run.pk}/").content.decode()
    assert re.search(r"Final exam held on <time[^>]*>\d+ \w+ 2\d{3}, \d\d:\d\d UTC</time> and locked: the best 3", page)
    assert page.count('<span class="chip">finalist</span>') == 2
    assert run.winner and f"ended on {run.examined:%Y-%m-%d %H:%M} UTC" in model_card(request_export(owner, run.winner))


def test_nobody_is_asked_the_final_questions_before_the_exam(owner: User, tmp_path: Path) -> None:
    run = world.launch(owner, tmp_path)
    early = Evaluation.objects.create(run=run, candidate=run.candidates.first(), split="final", rank=0)
    claims = []
    while claim := world.claims.claim("w1", "test"):
        claims.append(claim)
        world.finish(claim)
    assert claims and early.pk not in {claim.evaluation_id for claim in claims}
