"""Snapshots: the best of each generation on the validation split, and runs whose winner is the best of these."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User

from merging.fidelity import plan_from_json
from tests.ledger import world
from tests.ledger.shares import share
from tests.ledger.test_fidelities import N, asked
from tests.ledger.test_fidelities import launch as launch_with
from webapp.runs import transitions, winners
from webapp.runs.models import Run
from workers.failures import Failure
from workers.ledger import claims, generations, results
from workers.ledger.claims import Claim
from workers.ledger.searches import Searches

pytestmark = pytest.mark.django_db
BAD = Failure("candidate", "tensor", "q_proj holds NaN")


def launch(owner: User, folder: Path) -> Run:
    """Batches of 12 of the 30 search questions."""
    return launch_with(owner, folder, "batch")


def step(run: Run, validation: dict[str, float | Failure], memory: Searches) -> Claim | None:
    """One claim of a worker, and what follows; `validation` are the snapshots' scores there, or how they fail."""
    claim = claims.claim("w1", "test")
    if claim is not None:
        found = validation.get(claim.name, 0.0) if claim.split == "validation" else share(claim.recipe)
        if isinstance(found, Failure):
            results.fail(claim, found)
        else:
            results.finish(claim, asked(claim, found))
    moved = generations.advance(run.pk, memory)
    run.refresh_from_db()
    return claim if claim or moved else None


def snapshots(run: Run) -> list[str]:
    asked_there = run.evaluations.filter(split="validation", candidate__kind="evolved").order_by("rank")
    return [e.candidate.name for e in asked_there.select_related("candidate")]


def work(run: Run, validation: dict[int, float | Failure]) -> Run:
    """To the end; generations' best score so much on validation, in order of generations."""
    memory = Searches()
    while run.state not in ("done", "stopped", "failed"):
        known = {name: validation.get(int(name[1 : name.index(".")]), 0.0) for name in snapshots(run)}
        step(run, known, memory)
    world.check(run)
    return run


def test_a_batch_is_asked_by_seed_and_generation_and_parents_everything(owner: User, tmp_path: Path) -> None:
    first, again = (work(launch(owner, tmp_path), {}) for _ in range(2))
    plans = [list(run.generations.order_by("number").values_list("plan", flat=True)) for run in (first, again)]
    assert plans[0] == plans[1] and world.populations(first) == world.populations(again)
    batches = [plan_from_json(plan).blocks for plan in plans[0]]
    assert len(batches) == len(set(batches)) == 5
    evolved = first.evaluations.filter(split="search", candidate__kind="evolved")
    assert set(evolved.values_list("n", "is_estimate")) == {(12, True)}
    references = first.evaluations.filter(split="search").exclude(candidate__kind="evolved")
    assert set(references.values_list("n", "is_estimate")) == {(N, False)}


def test_the_winner_is_the_best_snapshot_and_among_equals_the_earlier(owner: User, tmp_path: Path) -> None:
    run = work(launch(owner, tmp_path), {0: 0.2, 1: 0.8, 2: 0.4, 3: 0.8})
    assert run.state == "done" and run.winner and run.winner.generation and run.winner.generation.number == 1
    ranked = [e.candidate.generation.number for e in winners.snapshots(run)]  # type: ignore[union-attr]
    assert ranked == [1, 3, 2, 0, 4]


def test_winner_and_finalists_take_the_exam_and_are_asked_all_search_questions(owner: User, tmp_path: Path) -> None:
    run = work(launch(owner, tmp_path), {0: 0.9})
    finalists = {candidate.pk for candidate in winners.best(run, 3)}
    assert run.winner_id and run.winner_id not in finalists, "this test is about a winner that is no finalist"
    examined = set(run.evaluations.filter(split="final", candidate__kind="evolved").values_list("candidate", flat=True))
    assert examined == finalists | {run.winner_id}
    full = run.evaluations.filter(split="full", status="done").values_list("candidate", "n", "is_estimate")
    assert set(full) == {(pk, N, False) for pk in examined}


def test_no_winner_is_named_before_every_snapshot_is_scored(owner: User, tmp_path: Path) -> None:
    run, memory = launch(owner, tmp_path), Searches()
    while run.state != "finishing":
        step(run, {}, memory)
    held = world.take("slow")
    assert held.split == "validation"
    while (claim := step(run, {}, memory)) is not None:
        assert claim.split != "final"
    assert run.winner is None and run.state == "finishing"
    results.finish(held, asked(held, 1.0))
    assert generations.advance(run.pk, memory)
    run.refresh_from_db()
    assert run.winner_id == held.candidate_id


@pytest.mark.parametrize("fate", [BAD, 0.0])
def test_a_snapshot_that_cannot_be_scored_does_not_win_or_hold_the_end_up(
    owner: User, tmp_path: Path, fate: Failure | float
) -> None:
    run = work(launch(owner, tmp_path), {0: fate, 1: 0.1, 2: fate, 3: fate, 4: fate})
    assert run.state == "done" and run.winner and run.winner.name.startswith("g1.")


def test_where_no_snapshot_can_be_scored_the_best_on_the_search_questions_wins(owner: User, tmp_path: Path) -> None:
    run = work(launch(owner, tmp_path), dict.fromkeys(range(5), BAD))
    assert run.state == "done" and run.winner == winners.by_full_score(run, winners.best(run, 3))[0]


@pytest.mark.parametrize("split", ["search", "validation"])
def test_a_snapshot_whose_answers_cannot_be_trusted_comes_last(owner: User, tmp_path: Path, split: str) -> None:
    """Generation 1 answers nothing, and is right all the same."""
    run, memory = world.launch(owner, tmp_path, fidelity="batch"), Searches()
    while run.state != "done":
        if claim := claims.claim("w1", "test"):
            is_empty = claim.generation == 1 and claim.split == split
            means = {"validation": 0.8 if claim.generation == 1 else 0.2}
            mean = means.get(claim.split, share(claim.recipe))
            results.finish(claim, world.result(claim, mean, completion="" if is_empty else "2"))
        generations.advance(run.pk, memory)
        run.refresh_from_db()
    assert [e.candidate.name[:2] for e in winners.snapshots(run).select_related("candidate")] == ["g0", "g2", "g1"]
    assert run.winner and run.winner.name.startswith("g0")


def test_the_generation_that_a_stop_leaves_open_has_a_snapshot_too(owner: User, tmp_path: Path) -> None:
    run, memory = launch(owner, tmp_path), Searches()
    while run.evaluations.filter(split="search", status="done", candidate__generation__number=1).count() < 2:
        step(run, {}, memory)
    assert transitions.stop(run.pk)
    work(run, {0: 0.2, 1: 0.6})
    assert run.state == "stopped" and run.winner and run.winner.name.startswith("g1.")


def test_a_run_of_which_one_candidate_was_scored_can_be_stopped(owner: User, tmp_path: Path) -> None:
    run, memory = launch(owner, tmp_path), Searches()
    while not run.evaluations.filter(split="search", status="done", candidate__kind="evolved").exists():
        step(run, {}, memory)
    transitions.pause(run.pk)
    assert transitions.stop(run.pk)
    work(run, {})
    assert (run.state, run.winner and run.winner.name) == ("stopped", "g0.0")


def test_a_run_that_asks_everyone_the_same_keeps_its_rule(owner: User, tmp_path: Path) -> None:
    run = world.launch(owner, tmp_path)
    memory = Searches()
    while run.state != "done":
        if claim := claims.claim("w1", "test"):
            world.finish(claim, 1.0 if claim.split == "validation" and claim.generation == 0 else None)
        generations.advance(run.pk, memory)
        run.refresh_from_db()
    assert run.winner == winners.best(run)[0]
    assert winners.snapshots(run)[0].candidate.name.startswith("g0.")


def test_the_best_path_is_chosen_by_validation(run: Run) -> None:
    assert not winners.by_validation(run)
    run.config |= {"path": {"repeats": 2}}
    assert winners.by_validation(run)
