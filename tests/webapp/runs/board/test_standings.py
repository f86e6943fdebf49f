"""The leaderboard of a benchmark over all runs: what is ranked together, and for whom."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tests.webapp.runs.rows import benchmark, make_run, rewrite
from webapp.runs import outcomes
from webapp.runs.board import standings
from webapp.runs.models import Evaluation, Run, Score
from webapp.sharing.actions import share

pytestmark = pytest.mark.django_db


@pytest.fixture
def runs(owner: User) -> list[Run]:
    """Two of the owner's, which asked the same questions."""
    return [
        make_run(owner, state="done", n_generations=1, population=n, ending=True, name=f"run of {n}") for n in (2, 3)
    ]


def page(client: Client, **query: str) -> str:
    return client.get(reverse("runs:standings"), query).content.decode()


def models(client: Client, **query: str) -> list[str]:
    return re.findall(r'class="lead"><a href="([^"]+)"', page(client, **query))


def test_models_of_all_runs_are_ranked_each_once(runs: list[Run], owner: User) -> None:
    """Two parents and two baselines of one recipe are in both runs; each run has a winner of its own."""
    found = standings.standings(owner, benchmark().digest, "final")
    recipes = [row.score.evaluation.candidate.recipe_digest for row in found.rows]
    assert len(recipes) == len(set(recipes)) == found.n_models
    assert {run.winner.recipe_digest for run in runs if run.winner} <= set(recipes)
    means = [row.score.mean for row in found.rows]
    assert means == sorted(means, reverse=True)


def test_final_scores_are_ranked_when_the_exam_is_over(owner: User) -> None:
    run = make_run(owner, state="finishing", n_generations=1, population=2, ending=True)
    assert standings.standings(owner, benchmark().digest, "final").rows == []
    assert standings.standings(owner, benchmark().digest, "validation").rows
    Run.objects.filter(pk=run.pk).update(state="done", examined=run.created)
    assert standings.standings(owner, benchmark().digest, "final").rows


def test_only_equal_digests_are_ranked_together(runs: list[Run], owner: User) -> None:
    Score.objects.filter(evaluation__run=runs[0]).update(digest="sha256:other")
    for digest, run in (("sha256:other", runs[0]), (benchmark().digest, runs[1])):
        found = standings.standings(owner, digest, "final")
        assert {row.score.evaluation.run_id for row in found.rows} == {run.pk}
    assert [(ground.n_runs, ground.is_ambiguous) for ground in standings.grounds(owner)] == [(1, True)] * 2


def test_estimates_and_doubtful_answers_are_not_ranked(runs: list[Run], owner: User) -> None:
    winners = Evaluation.objects.filter(split="final", candidate__in=[run.winner_id for run in runs])
    rewrite(winners.filter(run=runs[0]), is_healthy=False)
    rewrite(winners.filter(run=runs[1]), is_estimate=True)
    found = standings.standings(owner, benchmark().digest, "final")
    assert {row.score.evaluation.candidate.kind for row in found.rows} == {"parent", "baseline"}


def test_bands_hold_over_runs(runs: list[Run], owner: User) -> None:
    outcomes.Outcomes.objects.filter(score__evaluation__split="final").update(scores=[1.0] * 50)
    outcomes._kept.clear()
    found = standings.standings(owner, benchmark().digest, "final")
    assert {row.rank for row in found.rows} == {f"1–{found.n_models}"}


def test_a_last_band_that_may_go_on_is_open(runs: list[Run], owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes.Outcomes.objects.filter(score__evaluation__split="final").update(scores=[1.0] * 50)
    outcomes._kept.clear()
    monkeypatch.setattr(standings, "N_SHOWN", 3)
    found = standings.standings(owner, benchmark().digest, "final")
    assert [row.rank for row in found.rows] == ["1+"] * 3 and found.n_models > 3


def test_everybody_sees_only_the_runs_that_are_theirs_or_shared(
    runs: list[Run], member: User, member_client: Client
) -> None:
    assert "Nothing is scored yet" in page(member_client)
    share(runs[0], member, "viewer")
    assert all(str(runs[0].pk) in address for address in models(member_client)) and models(member_client)


def test_a_split_and_a_benchmark_are_in_the_address(runs: list[Run], owner_client: Client) -> None:
    assert "optimised on this" in page(owner_client, split="search")
    assert len(models(owner_client, split="search")) > len(models(owner_client, split="final"))
    assert models(owner_client, benchmark=benchmark().digest) == models(owner_client)
    assert "None of the runs that you see" in page(owner_client, benchmark="sha256:nothing")


def test_before_any_exam_the_page_says_so(owner: User, owner_client: Client) -> None:
    make_run(owner, n_generations=1, population=2)
    assert "No run has held its final exam on this benchmark yet" in page(owner_client)
