"""Cheaper fitness in the ledger: plans come from terminal rows, and the winner is chosen by full scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from merging.evaluation import Evaluation
from merging.fidelity import Answers, ask_by, fidelities, plan_from_json
from merging.objectives import estimated
from merging.statistics import wilson
from tests.ledger import world
from tests.ledger.scores import score
from tests.ledger.shares import share
from webapp.runs import winners
from webapp.runs.board import leaderboard
from webapp.runs.config import RunConfig
from webapp.runs.live.summary import summary
from webapp.runs.models import Run
from webapp.runs.report import report
from workers.ledger import claims, generations, results
from workers.ledger.claims import Claim
from workers.ledger.searches import Searches

pytestmark = pytest.mark.django_db
N = 30
CHEAPER = [kind.name for kind in fidelities if kind.name != "full"]
SETTINGS: dict[str, tuple[tuple[str, float], ...]] = {"batch": (("samples", 12.0),)}
"""Where the default asks more than there is."""


def measured(split: str, mean: float, places: list[int]) -> Evaluation:
    """Of a model that is right on the first share of the split, of which the samples at these places were asked."""
    first = score(split, 1.0)
    outcomes = tuple(
        replace(first.outcomes[0], id=f"s{i}", score=float(i < mean * N), right=i < mean * N) for i in places
    )
    n_right = sum(outcome.right for outcome in outcomes)
    bounds = wilson(n_right, len(outcomes))
    shares = {"mean": n_right / len(outcomes), "right": n_right / len(outcomes), "low": bounds.low, "high": bounds.high}
    return replace(first, n=len(outcomes), outcomes=outcomes, **shares)


def asked(claim: Claim, mean: float | None = None) -> results.Scored:
    """What a device would bring that follows the plan, of a model that is right on so much."""
    objectives = RunConfig.from_json(claim.config).objectives
    mean = share(claim.recipe) if mean is None else mean
    split = "search" if claim.split == "full" else claim.split
    if claim.plan is None:
        return results.scored(objectives, [measured(split, mean, list(range(N)))], 0.01, 0.01)
    plan = plan_from_json(claim.plan)

    def answer(block: tuple[int, ...]) -> Answers:
        found = tuple(float(place < mean * N) for place in block)
        return Answers(block, found, found, (None,) * len(block))

    answers = ask_by(plan, answer)
    places = sorted(answers.positions)
    (estimate,) = plan.estimate(answers)
    return results.scored(
        objectives, [estimated(measured(split, mean, places), estimate)], 0.01, 0.01, positions=[places]
    )


def work(run: Run, memory: Searches | None = None) -> Run:
    while True:
        claim = claims.claim("w1", "test")
        if claim:
            assert results.finish(claim, asked(claim))
        if not generations.advance(run.pk, memory or Searches()) and claim is None:
            run.refresh_from_db()
            return run


def launch(owner: User, folder: Path, fidelity: str, **changes: Any) -> Run:
    (only,) = world.config(folder).objectives
    chosen: dict[str, Any] = {"fidelity": fidelity, "fidelity_settings": SETTINGS.get(fidelity, ())}
    return world.launch(owner, folder, budget=20, objectives=(replace(only, n_search=N),), **chosen, **changes)


@pytest.mark.parametrize("fidelity", CHEAPER)
def test_a_run_with_a_cheaper_fitness_ends_with_finalists_scored_in_full(
    owner: User, tmp_path: Path, fidelity: str
) -> None:
    run = work(launch(owner, tmp_path, fidelity))
    assert run.state == "done", run.message
    plans = list(run.generations.order_by("number").values_list("plan", flat=True))
    assert len(plans) == 5 and all(plan["fidelity"] == fidelity for plan in plans)
    finalists = run.candidates.filter(kind="evolved", evaluations__split="final")
    assert set(finalists) == {run.winner, *winners.best(run, 3)}
    asked_of = [
        candidate.evaluations.filter(split__in=("search", "full"), is_estimate=False) for candidate in finalists
    ]
    assert [[evaluation.n for evaluation in full] for full in asked_of] == [[N]] * len(finalists)
    assert {line["search"]["is_estimate"] for line in report(run)["finalists"] if line["search"]} == {False}
    guessed = run.evaluations.filter(is_estimate=True)
    assert guessed.exists() and all(evaluation.n < N for evaluation in guessed)
    world.check(run)


def test_plans_are_the_same_for_a_worker_without_memory(owner: User, tmp_path: Path) -> None:
    kept, forgotten = (work(launch(owner, tmp_path, "racing"), memory) for memory in (Searches(), None))
    plans = [list(run.generations.order_by("number").values_list("plan", flat=True)) for run in (kept, forgotten)]
    assert plans[0] == plans[1] and world.populations(kept) == world.populations(forgotten)


def test_the_winner_is_the_best_of_the_finalists_on_all_samples(owner: User, tmp_path: Path) -> None:
    run = work(launch(owner, tmp_path, "subset"))
    full = {
        e.candidate_id: e.fitness
        for e in run.evaluations.filter(is_estimate=False, split__in=("search", "full"), candidate__kind="evolved")
    }
    finalists = run.candidates.filter(kind="evolved", evaluations__split="final").values_list("pk", flat=True)
    assert full[run.winner_id] == max(full[pk] for pk in finalists)


def test_pages_name_the_winner_also_where_an_estimate_was_higher(owner: User, tmp_path: Path) -> None:
    """What is estimated highest turns out to be lowest."""
    run = launch(owner, tmp_path, "subset")
    while not run.winner_id:
        if claim := claims.claim("w1", "test"):
            truth = 1 - share(claim.recipe) if claim.split == "full" else share(claim.recipe)
            assert results.finish(claim, asked(claim, truth))
        generations.advance(run.pk, Searches())
        run.refresh_from_db()
    best = summary(run, owner).row.best
    assert run.state == "finishing" and run.winner != winners.best(run)[0]
    assert best and best.candidate_id == run.winner_id


def test_pages_mark_estimates_and_hold_them_against_the_truth(owner: User, tmp_path: Path, client: Client) -> None:
    run = work(launch(owner, tmp_path, "subset"))
    client.force_login(owner)
    page = client.get(f"/runs/{run.pk}/?rows=all").content.decode()
    assert "Scores marked ≈ are estimated" in page and "Estimates of the finalists against all search questions" in page
    rows = leaderboard.board(run, 20).checked
    assert rows and all(row.search.n == N and row.estimate and row.estimate.is_estimate for row in rows)
    guessed = run.evaluations.filter(is_estimate=True).first()
    assert guessed and "≈" in client.get(f"/runs/{run.pk}/candidates/{guessed.candidate_id}/").content.decode()


def test_everything_is_asked_by_default_without_a_plan(owner: User, tmp_path: Path) -> None:
    run = work(world.launch(owner, tmp_path))
    assert set(run.generations.values_list("plan", flat=True)) == {None}
    assert not run.evaluations.filter(split="full").exists() and not run.evaluations.filter(is_estimate=True).exists()


def test_a_plan_that_needs_the_parents_waits_for_them(owner: User, tmp_path: Path) -> None:
    name = next(kind.name for kind in fidelities if kind.needs_parents)
    run = launch(owner, tmp_path, name)
    assert not generations.advance(run.pk, Searches())
    while (claim := claims.claim("w1", "test")) is not None:
        world.finish(claim)
    assert generations.advance(run.pk, Searches())
