"""Ten processes at once: every evaluation is claimed once, every generation opened once, nobody is left waiting for a lock."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection

from merging.search import Axes, searches
from tests.ledger import world
from webapp.runs.models import Attempt, Run
from workers.ledger import claims, generations, repairs
from workers.ledger.searches import Searches

N = 10
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def owner(transactional_db: None) -> User:
    searches.get("cma_es").start(Axes.plain(2), 0)  # imports its library here, once, and not in every fork
    return User.objects.create(username="owner")


def race(task: Callable[[], object]) -> list[object]:
    """What ten processes return that begin the task together, each with a connection of its own."""
    barrier, answers = FORK.Barrier(N), FORK.SimpleQueue()

    def enter() -> None:
        inherited, connection.connection = connection.connection, None
        barrier.wait(30)
        try:
            answers.put(task())
        except Exception as error:
            answers.put(repr(error))
        connection.close()
        connection.connection = inherited  # not ours to close

    processes = [FORK.Process(target=enter) for _ in range(N)]
    for process in processes:
        process.start()
    found = [answers.get() for _ in processes]
    for process in processes:
        process.join(30)
    errors = [answer for answer in found if isinstance(answer, str)]
    assert not errors, errors
    return found


def test_ten_claim_ten_different_evaluations(run: Run) -> None:
    for _ in range(2):
        run.evaluations.filter(status="leased").update(status="pending", lease_until=None)
        found = race(lambda: claims.claim("w", "test").evaluation_id)
        assert sorted(found) == sorted(set(found))


def test_ten_advance_to_one_next_generation(run: Run) -> None:
    for number in range(2):
        found = race(lambda: generations.advance(run.pk, Searches()))
        assert sorted(found) == [False] * (N - 1) + [True]
        assert run.generations.count() == number + 1
        while claim := claims.claim("w", "test"):
            world.finish(claim)
    assert world.populations(run) == world.uninterrupted(run)[:2]
    world.check(run)


def test_ten_finish_one_claim_once(run: Run) -> None:
    claim = world.take()
    assert race(lambda: world.finish(claim)) == [True] * N
    assert run.events.filter(kind="evaluation.done").count() == 1
    world.check(run)


def test_ten_reap_once(run: Run) -> None:
    from tests.ledger.test_claims import expire

    claim = world.take()
    expire(claim.evaluation_id)
    assert sorted(race(repairs.reap)) == [0] * (N - 1) + [1]
    assert Attempt.objects.filter(outcome="lost").count() == 1


def test_ten_workers_share_two_runs(owner: User, tmp_path: Path) -> None:
    runs = [world.launch(owner, tmp_path, budget=12, seed=seed) for seed in (1, 2)]

    def work() -> int:
        memory, n = Searches(), 0
        while Run.objects.exclude(state="done").exists():
            claim = claims.claim("w", "test")
            if claim is not None:
                world.finish(claim)
                n += 1
            for run_id in generations.due():
                generations.advance(run_id, memory)
        return n

    race(work)
    for run in runs:
        world.check(run)
        assert run.state == "done"
        assert world.populations(run) == world.uninterrupted(run)
        assert set(Attempt.objects.filter(evaluation__run=run).values_list("outcome", flat=True)) == {"accepted"}
