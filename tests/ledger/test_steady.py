"""Steady state: a generation is opened before the last of the one before are scored; the run is the same whoever is first."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User

from tests.ledger import world
from tests.ledger.test_generations import BAD, finish_evolved
from webapp.runs import transitions, versions
from webapp.runs.models import Run
from workers.ledger import claims, generations, results
from workers.ledger.claims import Claim
from workers.ledger.searches import Searches

pytestmark = pytest.mark.django_db


@pytest.fixture
def steady(owner: User, tmp_path: Path) -> Run:
    """Populations of four, two of which are told with the next: 6, 4, 4 and 2 candidates."""
    return world.launch(owner, tmp_path, budget=16, steady=True)


def names(run: Run, **which: object) -> list[str]:
    found = run.candidates.filter(kind="evolved", **which).order_by("generation__number", "index")
    return list(found.values_list("name", flat=True))


def references_done(run: Run) -> None:
    for _ in range(run.evaluations.filter(rank=0).count()):
        world.finish(world.take())


def test_a_generation_is_opened_while_the_last_of_the_one_before_are_computed(steady: Run) -> None:
    memory = Searches()
    generations.advance(steady.pk, memory)
    references_done(steady)
    first = [world.take(f"w{i}") for i in range(6)]
    for claim in first[:3]:
        world.finish(claim)
        assert not generations.advance(steady.pk, memory)
    world.finish(first[3])
    assert generations.advance(steady.pk, memory)
    assert [world.take(f"w{i}").name for i in range(4)] == ["g1.0", "g1.1", "g1.2", "g1.3"]
    assert names(steady, told__isnull=False) == ["g0.0", "g0.1", "g0.2", "g0.3"]
    assert list(steady.generations.values_list("closed", flat=True)) == [None, None]
    world.check(steady)


def test_the_last_of_a_generation_are_told_with_the_next_and_close_it(steady: Run) -> None:
    memory = Searches()
    generations.advance(steady.pk, memory)
    finish_evolved(steady, {f"g0.{i}": i / 5 for i in range(6)})
    generations.advance(steady.pk, memory)
    finish_evolved(steady, {"g1.0": BAD, "g1.1": 0.8, "g1.2": 0.0, "g1.3": 0.0})
    generations.advance(steady.pk, memory)
    told = steady.candidates.filter(generation__number__lte=1).order_by("generation__number", "index")
    assert list(told.values_list("told", flat=True)) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 0.8, 0.8, None, None]
    closed = steady.events.get(kind="generation.closed").payload
    assert (closed["number"], closed["best"]) == (0, 1.0)
    world.check(steady)


@pytest.mark.parametrize("search", ["cma_es", "random"])
def test_populations_equal_those_of_one_process_whatever_was_remembered(
    owner: User, tmp_path: Path, search: str
) -> None:
    stood = []
    kept = Searches()
    for memory in (lambda: kept, Searches):
        run = world.launch(owner, tmp_path, budget=27, steady=True, search=search)
        while run.state != "done":
            world.work(run, memory(), n=1)
        stood.append(world.populations(run))
        world.check(run)
    assert stood[0] == stood[1] == world.uninterrupted(run)
    assert run.generations.filter(closed=None).count() == 0
    assert [g.candidates.count() for g in run.generations.order_by("number")] == [6, 4, 4, 4, 4, 4, 1]


def test_populations_do_not_depend_on_what_is_scored_first(steady: Run) -> None:
    """Two that compute for a long time, always the first that are claimed: others go ahead as far as they may."""
    memory, slow, n_ahead = Searches(), list[Claim](), 0
    while steady.state != "done":
        generations.advance(steady.pk, memory)
        claim = claims.claim("w1", "test")
        if claim is None or len(slow) == 2:
            for late in slow:
                world.finish(late)
            slow.clear()
        if claim and len(slow) < 2 and claim.split == "search" and claim.index % 3 == 0:
            slow.append(claim)
        elif claim:
            world.finish(claim)
        n_ahead += steady.generations.filter(closed=None).count() > 1
        steady.refresh_from_db()
    assert n_ahead > 0
    assert world.populations(steady) == world.uninterrupted(steady)
    world.check(steady)


def test_when_all_that_are_told_at_once_fail_it_pauses_and_goes_on_with_the_next(steady: Run) -> None:
    stood, kept = [], Searches()
    for memory in (Searches, lambda: kept):
        run = world.launch(steady.owner, Path(steady.config["parents"][0]["folder"]).parent, budget=16, steady=True)
        Run.objects.exclude(pk=run.pk).update(deleted_at=run.created)
        generations.advance(run.pk, memory())
        finish_evolved(run, {f"g0.{i}": BAD for i in range(4)})
        generations.advance(run.pk, memory())
        run.refresh_from_db()
        assert run.state == "paused"
        assert run.message.startswith(
            "All 4 candidates that were to be told with generation 0 failed, 4 of them with: q_proj"
        )
        assert run.generations.count() == 2
        world.check(run)
        transitions.resume(run.pk)
        while run.state != "done":
            world.work(run, memory(), n=1)
        stood.append(world.populations(run))
        world.check(run)
    assert stood[0] == stood[1]


def test_a_stop_keeps_the_best_of_both_open_generations(owner: User, tmp_path: Path) -> None:
    run = world.launch(owner, tmp_path, budget=16, steady=True)
    memory = Searches()
    generations.advance(run.pk, memory)
    finish_evolved(run, {"g0.5": 1.0})
    generations.advance(run.pk, memory)
    held = world.take()
    assert transitions.stop(run.pk)
    assert not results.finish(held, world.result(held, 1.0))
    world.work(run, memory)
    assert run.state == "stopped" and run.winner is not None
    assert run.generations.filter(closed=None).count() == 2
    world.check(run)


def test_only_runs_in_steady_state_have_its_number(steady: Run, run: Run) -> None:
    assert (run.algo_version, steady.algo_version) == (versions.CURRENT, versions.STEADY)
    assert "steady" not in run.config and steady.config["steady"] is True
