"""What pages, the report and the model card say of who wins, and by which questions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.ledger import world
from tests.ledger.test_snapshots import launch, snapshots, step, work
from tests.webapp.runs.rows import make_run
from webapp.exports.actions import request_export
from webapp.exports.cards import model_card
from webapp.runs import outcomes, winners
from webapp.runs.board import leaderboard
from webapp.runs.board.standing import standing
from webapp.runs.models import Run
from webapp.runs.report import report
from workers.ledger.searches import Searches

pytestmark = pytest.mark.django_db
BY_VALIDATION = "The best of every generation answers the validation questions, and the best there wins"
BY_SEARCH = "The finalist that is best on the search questions wins."


@pytest.fixture
def run(owner: User, tmp_path: Path) -> Run:
    """A run by batches of 12 of 30 search questions; the winner is of generation 0, and low on the search questions."""
    return work(launch(owner, tmp_path), {0: 0.9})


def page(client: Client, run: Run, more: str = "") -> str:
    return client.get(f"/runs/{run.pk}/{more}").content.decode()


def card(run: Run) -> str:
    assert run.winner
    return model_card(request_export(run.owner, run.winner))


def test_the_page_of_a_run_by_batches_says_that_validation_chooses(run: Run, owner_client: Client) -> None:
    text = page(owner_client, run)
    assert f"{BY_VALIDATION}: generations answer different search questions." in text and BY_SEARCH not in text
    assert 'Validation <span class="chip" data-tone="info">chooses the winner</span>' in text
    assert "and locked: the winner, the best 3 by search score, the parents and the baselines answered" in text
    assert "of the winner, the best 3 by search score" in text
    candidate = page(owner_client, run, f"candidates/{run.winner_id}/")
    assert 'Validation <span class="chip" data-tone="info">chooses the winner</span>' in candidate


def test_the_page_of_any_other_run_says_that_validation_chooses_nothing(
    owner: User, owner_client: Client, tmp_path: Path
) -> None:
    run = world.work(world.launch(owner, tmp_path, budget=4))
    text = page(owner_client, run)
    assert BY_SEARCH in text and BY_VALIDATION not in text and "chooses the winner" not in text
    assert report(run)["winner_by"] == "search" and "is the best of its finalists on the search samples" in card(run)


def test_a_run_without_scores_states_its_rule_already(owner: User, owner_client: Client, tmp_path: Path) -> None:
    assert BY_VALIDATION in page(owner_client, launch(owner, tmp_path))


def test_the_best_on_validation_so_far_is_marked_while_the_search_goes_on(owner: User, tmp_path: Path) -> None:
    run, memory = launch(owner, tmp_path), Searches()
    while winners.snapshots(run).count() < 2:
        first = snapshots(run)[:1]
        step(run, dict.fromkeys(first, 0.6), memory)
    rows = leaderboard.board(run, 12, everything=True).rows
    assert run.state == "running" and [row.candidate.name for row in rows if row.is_snapshot] == first


def test_a_finished_run_has_one_trophy_and_no_other_mark(run: Run, owner_client: Client) -> None:
    text = page(owner_client, run, "?rows=all")
    assert len(re.findall(r"</svg>winner</span>", text)) == 1 and "best on validation</span>" not in text


def test_a_winner_that_is_low_on_the_search_questions_is_shown_below_those_that_are_ranked(
    owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaderboard, "N_RANKED", 3)
    monkeypatch.setattr(leaderboard, "N_SHOWN", 1)
    run = make_run(owner, n_generations=2)
    evolved = run.evaluations.filter(split="search", candidate__kind="evolved")
    run.winner = evolved.order_by("fitness")[0].candidate
    board = leaderboard.board(run, 16)
    (winner,) = (row for row in board.rows if row.is_winner)
    assert re.fullmatch(r"> \d", winner.rank) and (board.n_ranked, board.n_shown) == (3, 2)
    everything = leaderboard.board(run, 16, everything=True).rows
    assert [row.rank for row in everything if row.candidate == run.winner] == [winner.rank]
    assert [row.candidate.kind for row in everything].count("evolved") == 4


def test_a_difference_from_an_estimate_is_of_the_questions_that_both_answered(run: Run, owner_client: Client) -> None:
    examined = run.evaluations.filter(split="full").values("candidate")
    estimate = run.evaluations.filter(is_estimate=True).exclude(candidate__in=examined)[0]
    found = standing(run, estimate.candidate)
    for line in found.lines[1:]:
        other, comparison = line.cells[0].evaluation, line.cells[0].comparison
        assert other and comparison and comparison.n == 12 and other.n == 30
        mine, theirs = (outcomes.cards([pk])[pk][0].scores for pk in (estimate.pk, other.pk))
        assert comparison.difference == pytest.approx(sum(mine[place] - theirs[place] for place in mine) / 12)
        assert comparison.difference == pytest.approx((comparison.gained - comparison.lost) / 12)
    assert "on 12 common questions: gained" in page(owner_client, run, f"candidates/{estimate.candidate_id}/")
    assert "common questions: gained" not in page(owner_client, run, f"candidates/{run.winner_id}/")


def test_the_card_says_what_was_asked_and_that_validation_is_no_fair_score(run: Run) -> None:
    text = card(run)
    assert "Search (optimised on this) | Validation (chose the winner) | Final (held out, asked once)" in text
    assert "Not every candidate was asked all search samples. Batches, winner by validation (samples 12): " in text
    assert "The run's winner is the best on the validation samples, of the best of every generation." in text
    assert (
        "chose its winner on the validation split, so its scores there are too optimistic. The final split is" in text
    )
    assert report(run)["winner_by"] == "validation"


def test_the_card_of_a_run_that_asked_everything_says_nothing_of_estimates(owner: User, tmp_path: Path) -> None:
    text = card(world.work(world.launch(owner, tmp_path, budget=4, fidelity="batch")))
    assert "estimates" not in text and "The run's winner is the best on the validation samples" in text
