"""The ranking: who stands where, and who shares a rank."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from tests.webapp.runs.rows import make_run
from webapp.runs import outcomes
from webapp.runs.board import leaderboard
from webapp.runs.models import Outcomes, Run

pytestmark = pytest.mark.django_db


def ranks(run: Run, n_scored: int, everything: bool = True) -> list[str]:
    return [row.rank for row in leaderboard.board(run, n_scored, everything).rows]


def test_candidates_are_ordered_by_fitness_with_parents_among_them(owner: User) -> None:
    run = make_run(owner, n_generations=2)
    rows = leaderboard.board(run, 16).rows
    fitnesses = [row.search.fitness for row in rows]
    assert fitnesses == sorted(fitnesses, reverse=True)
    assert {row.candidate.name for row in rows} >= {"demo/japanese", "demo/addition", "uniform average"}


def test_equal_outcomes_share_a_rank(owner: User) -> None:
    run = make_run(owner, n_generations=1, population=4)
    Outcomes.objects.filter(score__evaluation__run=run).update(scores=[1.0] * 20)
    outcomes._kept.clear()
    assert ranks(run, 4) == ["1–8"] * 8


def test_a_clear_difference_opens_a_band(owner: User) -> None:
    """Six samples that only one of two got right: p = 2 / 2**6 = 0.03; five would be 0.06."""
    run = make_run(owner, n_generations=1, population=2)
    for row, n_right in zip(leaderboard.board(run, 2).rows, (12, 6, 1, 0, 0, 0), strict=True):
        Outcomes.objects.filter(score__evaluation=row.search).update(scores=[float(i < n_right) for i in range(20)])
    outcomes._kept.clear()
    assert ranks(run, 2) == ["1", "2–3", "2–3", "4–6", "4–6", "4–6"]


def test_only_the_best_are_ranked_but_parents_always_stand_there(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaderboard, "N_RANKED", 5)
    run = make_run(owner, n_generations=3)
    rows = leaderboard.board(run, 24, everything=True).rows
    assert [row.candidate.kind for row in rows].count("evolved") == 5
    below = [row for row in rows if row.candidate.kind != "evolved"]
    assert len(below) == 4 and {row.rank for row in below} == {"> 5"}


def test_a_band_that_goes_on_below_what_is_ranked_is_open(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaderboard, "N_RANKED", 3)
    run = make_run(owner, n_generations=1, population=6)
    Outcomes.objects.filter(score__evaluation__run=run).update(scores=[1.0])
    outcomes._kept.clear()
    assert ranks(run, 6)[:3] == ["1+"] * 3


def test_a_few_rows_stand_for_all_unless_all_are_asked_for(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaderboard, "N_SHOWN", 2)
    run = make_run(owner, n_generations=2)
    few, everything = leaderboard.board(run, 16), leaderboard.board(run, 16, everything=True)
    assert (few.n_shown, few.n_ranked, len(few.rows)) == (2, 16, 6)
    assert [row.rank for row in few.rows[:2]] == [row.rank for row in everything.rows[:2]]


def test_intervals_share_one_scale(owner: User) -> None:
    rows = leaderboard.board(make_run(owner), 24, everything=True).rows
    assert min(row.bar.x for row in rows) == 0
    assert max(row.bar.x + row.bar.width for row in rows) == pytest.approx(leaderboard.WIDTH, abs=0.02)  # two roundings
    assert len({row.bar.parent for row in rows}) == 1


def test_a_run_without_scores_has_no_rows(owner: User) -> None:
    run = Run.objects.create(owner=owner, name="empty", config={}, config_digest="", seed=1, budget=1)
    assert leaderboard.board(run, 0).rows == []
