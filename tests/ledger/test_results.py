"""Results: the holder of the token is heard once, everybody else never."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from django.db import IntegrityError, transaction

from merging.benchmarks import BenchmarkSpec
from merging.errors import EvaluationError
from merging.objectives import Objective
from tests.ledger import world
from tests.ledger.scores import score
from tests.ledger.test_claims import expire
from webapp.leases import MAX_ATTEMPTS
from webapp.runs import outcomes, transitions
from webapp.runs.models import Attempt, Evaluation, Outcomes, Run
from workers.failures import Failure
from workers.ledger import generations, repairs, results
from workers.ledger.searches import Searches

pytestmark = pytest.mark.django_db

ONE = [Objective(BenchmarkSpec("sums", "sha256:0"), 1.0, 5, 5, 5)]
HUNG = Failure("worker", "hung", "No progress for 600 s.")
NAN_TENSORS = Failure("candidate", "tensor", "q_proj holds NaN")


def test_a_score_is_stored_with_every_sample(run: Run) -> None:
    claim = world.take()
    assert world.finish(claim, 0.4)
    evaluation = Evaluation.objects.get(pk=claim.evaluation_id)
    assert (evaluation.status, evaluation.mean, evaluation.fitness, evaluation.n) == ("done", 0.4, 0.4, 5)
    assert len(evaluation.scores.get().outcomes.scores) == 5
    assert Attempt.objects.get(token=claim.lease.token).outcome == "accepted"


def test_the_event_tells_what_the_charts_need(run: Run) -> None:
    generations.advance(run.pk, Searches())
    evolved = [claim for claim in (world.take() for _ in range(7)) if claim.name.startswith("g0")]
    for claim in evolved:
        world.finish(claim, 0.2)
    payloads = [event.payload for event in run.events.filter(kind="evaluation.done").order_by("seq")]
    assert [p["number"] for p in payloads] == [1, 2]
    assert payloads[0] | {"low": 0, "high": 0} == {
        "candidate": evolved[0].candidate_id,
        "name": "g0.0",
        "kind": "evolved",
        "generation": 0,
        "index": 0,
        "split": "search",
        "fitness": 0.2,
        "mean": 0.2,
        "low": 0,
        "high": 0,
        "n": 5,
        "is_healthy": True,
        "number": 1,
        "seconds": 0.02,
    }


def test_a_lost_reply_does_not_count_twice(run: Run) -> None:
    claim = world.take()
    assert world.finish(claim) and world.finish(claim)
    assert run.events.filter(kind="evaluation.done").count() == 1
    world.check(run)


def test_a_zombie_is_fenced(run: Run) -> None:
    zombie = world.take("w1")
    expire(zombie.evaluation_id)
    repairs.reap()
    heir = world.take("w2")
    assert world.finish(heir, 0.6)
    assert not world.finish(zombie, 1.0)
    assert Evaluation.objects.get(pk=heir.evaluation_id).mean == 0.6
    assert Attempt.objects.get(token=zombie.lease.token).outcome == "fenced"
    world.check(run)


def test_a_late_result_counts_while_nobody_else_has_the_lease(run: Run) -> None:
    claim = world.take()
    expire(claim.evaluation_id)
    assert world.finish(claim)


@pytest.mark.parametrize("end", [transitions.stop, lambda run_id: transitions.fail(run_id, "disk")])
def test_no_result_counts_after_the_end(run: Run, end: object) -> None:
    claim = world.take()
    end(run.pk)  # type: ignore[operator]
    assert not world.finish(claim)
    assert not results.fail(claim, NAN_TENSORS)
    world.check(run)


def test_results_in_flight_count_while_pausing(run: Run) -> None:
    claim = world.take()
    transitions.pause(run.pk)
    assert world.finish(claim)


def test_a_result_that_comes_when_a_pause_has_settled_without_it_counts(run: Run) -> None:
    claim = world.take()
    expire(claim.evaluation_id)
    transitions.pause(run.pk)
    run.refresh_from_db()
    assert run.state == "paused"
    assert world.finish(claim)
    world.check(run)


def test_a_candidates_own_failure_is_final(run: Run) -> None:
    claim = world.take()
    assert results.fail(claim, NAN_TENSORS)
    evaluation = Evaluation.objects.get(pk=claim.evaluation_id)
    assert (evaluation.status, evaluation.failure_kind, evaluation.failure) == ("failed", "tensor", "q_proj holds NaN")
    assert run.events.last().kind == "evaluation.failed"
    assert not world.finish(claim)


def test_a_released_attempt_does_not_count(run: Run) -> None:
    claim = world.take()
    assert results.give_back(claim, "released")
    assert Attempt.objects.get(token=claim.lease.token).outcome == "released"
    assert world.take().attempt == 1


def test_three_hung_attempts_are_poison(run: Run) -> None:
    for _ in range(MAX_ATTEMPTS):
        claim = world.take()
        results.give_back(claim, "hung", HUNG)
    evaluation = Evaluation.objects.get(pk=claim.evaluation_id)
    assert evaluation.failure_kind == "poison"
    assert evaluation.failure.endswith(HUNG.sentence)


def test_text_that_postgres_refuses_is_stored_anyway(run: Run) -> None:
    claim = world.take()
    completion = "\x00\ud800" + "x" * 10**6
    results.finish(claim, world.result(claim, 0.2, completion=completion))
    stored = outcomes.unpacked(Outcomes.objects.get(score__evaluation=claim.evaluation_id))[0].completion
    assert stored.startswith("\ufffd\ufffdxx") and stored.endswith("[cut: 1,000,002 characters in all]")


def test_a_fitness_that_is_not_finite_is_refused() -> None:
    with pytest.raises(EvaluationError, match="nan"):
        results.scored(ONE, [replace(score("search", 0.2), mean=math.nan)], 0.0, 0.0)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["fitness", "mean"])
def test_the_database_refuses_numbers_that_are_not_finite(run: Run, field: str, number: float) -> None:
    claim = world.take()
    done = {"status": "done", "lease_until": None, "n": 5, "mean": 0.5, "fitness": 0.5} | {field: number}
    with pytest.raises(IntegrityError), transaction.atomic():
        Evaluation.objects.filter(pk=claim.evaluation_id).update(**done)


def test_the_final_split_has_no_fitness(run: Run) -> None:
    assert results.scored(ONE, [score("final", 0.2)], 0.0, 0.0).fitness is None


@pytest.mark.parametrize("change", [{"mean": 1.0}, {"status": "pending"}, {"fitness": 1.0, "mean": 1.0}])
def test_terminal_rows_never_change(run: Run, change: dict[str, object]) -> None:
    claim = world.take()
    world.finish(claim, 0.2)
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
        Evaluation.objects.filter(pk=claim.evaluation_id).update(**change)


def test_events_never_change(run: Run) -> None:
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
        run.events.update(kind="run.winner")
