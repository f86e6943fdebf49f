"""Generations: the same seed gives the same populations, whoever advances and whatever it remembers."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from merging.spaces import population_digest
from tests.ledger import world
from webapp.runs import transitions
from webapp.runs.models import Evaluation, Generation, Run
from workers.failures import Failure
from workers.ledger import claims, generations, results
from workers.ledger.searches import Searches

pytestmark = pytest.mark.django_db

BAD = Failure("candidate", "tensor", "q_proj holds NaN")


def finish_evolved(run: Run, fate: dict[str, Failure | float]) -> None:
    """Compute everything that is pending; named candidates meet the fate given here."""
    while (claim := claims.claim("w1", "test")) is not None:
        ending = fate.get(claim.name)
        if isinstance(ending, Failure):
            results.fail(claim, ending)
        else:
            world.finish(claim, ending)


def test_generation_0_is_opened_before_anything_is_scored(run: Run) -> None:
    assert generations.advance(run.pk, Searches())
    assert [c.name for c in run.candidates.filter(kind="evolved")] == ["g0.0", "g0.1", "g0.2", "g0.3"]
    assert not generations.advance(run.pk, Searches())


def test_an_opened_generation_records_how_it_came_about(run: Run) -> None:
    generations.advance(run.pk, Searches())
    generation = Generation.objects.get(run=run)
    assert generation.sigma == pytest.approx(1 / 6)
    assert set(generation.environment) == {"python", "machine", "numpy", "cma", "cmaes", "threads"}
    assert run.events.last().payload == {"number": 0, "n_candidates": 4, "sigma": generation.sigma}


def test_a_whole_run_ends_with_a_winner_and_final_scores(run: Run) -> None:
    world.work(run)
    assert run.state == "done"
    assert run.winner is not None and run.ended is not None
    final = set(run.evaluations.filter(split="final", status="done").values_list("candidate__name", flat=True))
    evolved = Evaluation.objects.filter(run=run, split="search", candidate__kind="evolved")
    ranked = evolved.order_by("-fitness", "candidate__generation__number", "candidate__index")
    best = [evaluation.candidate for evaluation in ranked[:3]]
    assert final == {"a", "b", "c", "uniform average", "starting point", *(candidate.name for candidate in best)}
    assert run.winner == best[0] and run.examined is not None
    world.check(run)


@pytest.mark.parametrize("budget", [1, 4, 6])
def test_the_budget_is_spent_exactly(owner: User, tmp_path: Path, budget: int) -> None:
    run = world.work(world.launch(owner, tmp_path, budget=budget))
    assert run.evaluations.filter(split="search", candidate__kind="evolved", status="done").count() == budget
    assert run.state == "done"


@pytest.mark.parametrize("search", ["cma_es", "random"])
def test_populations_equal_those_of_an_uninterrupted_search(owner: User, tmp_path: Path, search: str) -> None:
    run = world.work(world.launch(owner, tmp_path, budget=28, search=search))
    assert world.populations(run) == world.uninterrupted(run)
    fitnesses = list(run.evaluations.filter(split="search", fitness__isnull=False).values_list("fitness", flat=True))
    assert len(set(fitnesses)) < len(fitnesses) / 2, "this test is about tied scores"


def test_a_worker_without_memory_proposes_the_same(owner: User, tmp_path: Path) -> None:
    run = world.launch(owner, tmp_path, budget=20)
    while run.state != "done":
        world.work(run, Searches(), n=1)
    assert world.populations(run) == world.uninterrupted(run)
    world.check(run)


def test_the_rows_are_believed_where_memory_and_rows_differ(owner: User, tmp_path: Path) -> None:
    """As when another machine, whose last bits differ, won the race to open generation 0."""
    kept, stood = Searches(), []
    for after in (kept, Searches()):
        run = world.launch(owner, tmp_path)
        generations.advance(run.pk, kept)
        theirs = [(0.5, 0.5, 0.1 * i) for i in range(4)]
        for index, genome in enumerate(theirs):
            run.candidates.filter(kind="evolved", index=index).update(genome=list(genome))
        run.generations.update(population_digest=population_digest(theirs))
        finish_evolved(run, {f"g0.{i}": i / 5 for i in range(4)})
        generations.advance(run.pk, after)
        stood.append(world.populations(run)[1])
    assert stood[0] == stood[1]


def test_a_failed_candidate_is_told_as_the_worst_of_its_generation(run: Run) -> None:
    generations.advance(run.pk, Searches())
    finish_evolved(run, {"g0.0": 0.8, "g0.1": 0.2, "g0.2": BAD, "g0.3": 0.6})
    generations.advance(run.pk, Searches())
    told = run.candidates.filter(generation__number=0).order_by("index").values_list("told", flat=True)
    assert list(told) == [0.8, 0.2, 0.2, 0.6]
    closed = run.events.get(kind="generation.closed").payload
    assert closed["best"] == 0.8
    assert closed["mean"] == pytest.approx((0.8 + 0.2 + 0.6) / 3)


def validated(run: Run) -> list[str]:
    """The snapshots, in the order in which they were asked for."""
    asked = run.evaluations.filter(split="validation", candidate__kind="evolved").order_by("id")
    return list(asked.values_list("candidate__name", flat=True))


def test_the_best_of_every_generation_is_asked_on_validation_when_it_closes(run: Run) -> None:
    memory = Searches()
    generations.advance(run.pk, memory)
    finish_evolved(run, {"g0.0": 0.2, "g0.1": 0.8, "g0.2": 0.8, "g0.3": BAD})
    assert validated(run) == []
    generations.advance(run.pk, memory)
    finish_evolved(run, {f"g1.{i}": 0.1 * i for i in range(4)})
    generations.advance(run.pk, memory)
    assert validated(run) == ["g0.1", "g1.3"]
    world.check(run)


def test_a_generation_that_closes_twice_is_asked_once(run: Run) -> None:
    """Another call of the same writes, as after a reply that was lost."""
    generations.advance(run.pk, Searches())
    finish_evolved(run, {})
    generations.advance(run.pk, Searches())
    with transaction.atomic():
        transitions.take_snapshot(transitions.locked(run.pk), 0)
    assert len(validated(run)) == 1


def test_snapshots_wait_behind_the_generation_that_is_being_searched(run: Run) -> None:
    """The claims of one worker: each snapshot comes after the next generation's search questions, and the last before the exam."""
    memory, order = Searches(), []
    while run.state != "done":
        if claim := claims.claim("w1", "test"):
            world.finish(claim)
            if claim.kind == "evolved" and claim.split != "final":
                order.append((claim.split, claim.generation))
        generations.advance(run.pk, memory)
        run.refresh_from_db()
    search = [[("search", g)] * 4 for g in range(3)]
    snapshots = [("validation", g) for g in range(3)]
    assert order[:15] == [*search[0], *search[1], snapshots[0], *search[2], *snapshots[1:]]


def test_references_that_are_not_scored_yet_do_not_hold_generation_0_up(run: Run) -> None:
    generations.advance(run.pk, Searches())
    references = [world.take() for _ in range(5)]
    finish_evolved(run, {})
    assert generations.advance(run.pk, Searches())
    assert run.generations.count() == 2
    assert all(world.finish(claim) for claim in references)


def test_a_generation_that_failed_as_a_whole_pauses_the_run_and_names_the_cause(run: Run) -> None:
    generations.advance(run.pk, Searches())
    rare = Failure("candidate", "out_of_memory", "Out of memory")
    finish_evolved(run, {"g0.0": rare, "g0.1": BAD, "g0.2": BAD, "g0.3": BAD})
    generations.advance(run.pk, Searches())
    run.refresh_from_db()
    assert run.state == "paused"
    assert run.message == "All 4 candidates of generation 0 failed, 3 of them with: q_proj holds NaN"
    world.check(run)


def test_after_a_failed_generation_a_resumed_run_asks_anew_and_replays_to_the_same(owner: User, tmp_path: Path) -> None:
    stood = []
    kept = Searches()
    for memory in (Searches, lambda: kept):
        run = world.launch(owner, tmp_path, budget=16)
        generations.advance(run.pk, memory())
        finish_evolved(run, {f"g0.{i}": BAD for i in range(4)})
        generations.advance(run.pk, memory())
        transitions.resume(run.pk)
        while run.state != "done":
            world.work(run, memory(), n=1)
        stood.append(world.populations(run))
        world.check(run)
    assert stood[0] == stood[1]
    assert len(set(stood[0])) == 4


def test_a_run_of_which_nothing_could_be_scored_fails(owner: User, tmp_path: Path) -> None:
    run = world.launch(owner, tmp_path, budget=4)
    generations.advance(run.pk, Searches())
    finish_evolved(run, {f"g0.{i}": BAD for i in range(4)})
    generations.advance(run.pk, Searches())
    run.refresh_from_db()
    assert run.state == "failed"
    assert "q_proj holds NaN" in run.message
    world.check(run)


def test_a_missing_parent_pauses_the_run_before_it_begins(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a" / "config.json").unlink()
    generations.advance(run.pk, Searches())
    run.refresh_from_db()
    assert run.state == "paused"
    assert "config.json" in run.message


def test_a_configuration_that_cannot_be_read_pauses_the_run(run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(config={"written by": "another version"})
    generations.advance(run.pk, Searches())
    run.refresh_from_db()
    assert run.state == "paused"
    assert "cannot be proposed" in run.message


def test_the_final_split_waits_for_the_end(run: Run) -> None:
    memory = Searches()
    seen = set()
    while run.state in ("queued", "running"):
        seen |= set(run.evaluations.filter(split="final"))
        world.work(run, memory, n=1)
    assert seen == set()
    assert run.state == "finishing"
