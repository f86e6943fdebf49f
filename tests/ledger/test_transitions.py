"""Pause, resume, stop: the last accepted intent wins, and nothing moves after the end."""

from __future__ import annotations

import pytest

from tests.ledger import world
from tests.ledger.test_claims import expire
from webapp.runs import transitions
from webapp.runs.models import Evaluation, Run
from workers.failures import Failure
from workers.ledger import claims, generations, results
from workers.ledger.searches import Searches

pytestmark = pytest.mark.django_db


def state(run: Run) -> str:
    run.refresh_from_db()
    return run.state


def test_pause_waits_for_what_is_in_flight(run: Run) -> None:
    claim = world.take()
    assert transitions.pause(run.pk)
    assert state(run) == "pausing"
    assert claims.claim("w2", "test") is None
    world.finish(claim)
    assert generations.advance(run.pk, Searches())
    assert state(run) == "paused"


def test_pause_is_at_once_when_nothing_is_in_flight(run: Run) -> None:
    transitions.pause(run.pk)
    assert state(run) == "paused"


def test_a_dead_holder_does_not_hold_the_pause_up(run: Run) -> None:
    claim = world.take()
    transitions.pause(run.pk)
    expire(claim.evaluation_id)
    assert transitions.settle(run.pk)
    assert state(run) == "paused"


def test_resume_goes_on_where_it_was(run: Run) -> None:
    world.work(run, n=7)
    transitions.pause(run.pk)
    transitions.resume(run.pk)
    assert state(run) == "running"
    world.work(run)
    assert world.populations(run) == world.uninterrupted(run)
    assert run.state == "done"


def test_a_run_that_never_started_resumes_into_the_queue(run: Run) -> None:
    transitions.pause(run.pk)
    transitions.resume(run.pk)
    assert state(run) == "queued"


def test_resume_takes_a_pause_back_that_has_not_settled(run: Run) -> None:
    claim = world.take()
    transitions.pause(run.pk)
    transitions.resume(run.pk)
    assert state(run) == "running"
    assert world.finish(claim)


def test_stop_keeps_the_best_and_scores_it_on_the_final_split(run: Run) -> None:
    memory = Searches()
    world.work(run, memory, n=8)
    claim = world.take()
    assert transitions.stop(run.pk)
    assert state(run) == "finishing"
    assert not world.finish(claim)
    world.work(run, memory)
    assert run.state == "stopped"
    assert run.winner is not None
    assert run.winner.evaluations.get(split="final").status == "done"
    assert run.evaluations.filter(candidate__kind="evolved", split="search", status="dropped").exists()
    assert not run.evaluations.exclude(candidate__kind="evolved").exclude(status="done").exists()
    world.check(run)


def test_an_exam_in_which_nothing_could_be_scored_has_no_date(run: Run) -> None:
    world.work(run, n=8)
    transitions.stop(run.pk)
    while claim := claims.claim("w1", "test"):
        if claim.split == "final":
            results.fail(claim, Failure("candidate", "tensor", "no tensor"))
        else:
            world.finish(claim)
    assert generations.advance(run.pk, Searches())
    run.refresh_from_db()
    assert (run.state, run.examined) == ("stopped", None)


def test_stop_before_anything_is_scored_ends_at_once(run: Run) -> None:
    claim = world.take()
    transitions.stop(run.pk)
    assert state(run) == "stopped"
    assert run.message
    assert not world.finish(claim)
    world.check(run)


def test_a_paused_run_can_be_stopped(run: Run) -> None:
    world.work(run, n=8)
    transitions.pause(run.pk)
    assert transitions.stop(run.pk)
    assert state(run) == "finishing"


def test_nothing_moves_after_the_end(run: Run) -> None:
    world.work(run)
    before = list(run.events.values_list("seq", flat=True)), list(Evaluation.objects.values())
    asks = (transitions.pause, transitions.resume, transitions.stop, transitions.settle)
    assert not any(ask(run.pk) for ask in asks)
    assert not generations.advance(run.pk, Searches())
    assert (list(run.events.values_list("seq", flat=True)), list(Evaluation.objects.values())) == before


def test_asking_twice_changes_nothing(run: Run) -> None:
    assert [transitions.pause(run.pk) for _ in range(2)] == [True, False]
    assert [transitions.resume(run.pk) for _ in range(2)] == [True, False]
