"""Claims: one holder, fair turns, and a token that grows."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db.models import F

from tests.ledger import world
from webapp.leases import MAX_ATTEMPTS
from webapp.runs import transitions
from webapp.runs.models import Attempt, Evaluation, Run
from workers.ledger import claims, generations, repairs
from workers.ledger.searches import Searches

pytestmark = pytest.mark.django_db


def expire(evaluation_id: int) -> None:
    """As if the lease had begun long ago."""
    Evaluation.objects.filter(pk=evaluation_id).update(lease_until=F("lease_until") - timedelta(hours=1))


def test_the_first_claim_starts_the_run(run: Run) -> None:
    world.take()
    run.refresh_from_db()
    assert run.state == "running"
    assert run.started is not None
    assert run.events.last().payload["state"] == "running"


def test_parents_and_baselines_come_first(run: Run) -> None:
    generations.advance(run.pk, Searches())
    names = [world.take().name for _ in range(6)]
    assert names == ["a", "b", "c", "uniform average", "starting point", "g0.0"]


def test_a_claim_is_held_once_and_tokens_grow(run: Run) -> None:
    first, second = world.take("w1"), world.take("w2")
    assert first.evaluation_id != second.evaluation_id
    assert first.lease.token < second.lease.token


def test_nothing_pending_is_no_claim(run: Run) -> None:
    run.evaluations.all().delete()
    assert claims.claim("w1", "test") is None


def test_an_attempt_says_who_and_with_which_code(run: Run) -> None:
    claim = world.take("w7")
    attempt = Attempt.objects.get(token=claim.lease.token)
    assert (attempt.worker, attempt.code_version, attempt.outcome) == ("w7", "test", "")


def test_the_run_with_fewer_live_leases_goes_first(run: Run, owner: User, tmp_path: Path) -> None:
    other = world.launch(owner, tmp_path)
    turns = [world.take().run_id for _ in range(6)]
    assert turns.count(run.pk) == turns.count(other.pk) == 3


def test_a_worker_that_lacks_a_run_s_files_is_given_another_run(run: Run, owner: User, tmp_path: Path) -> None:
    other = world.launch(owner, tmp_path)
    assert claims.claim("w1", "test", only=[]) is None
    assert {claims.claim("w1", "test", only=[other.pk]).run_id for _ in range(3)} == {other.pk}  # type: ignore[union-attr]


def test_a_deleted_run_is_not_claimed(run: Run) -> None:
    Run.objects.update(deleted_at=run.created)
    assert claims.claim("w1", "test") is None


@pytest.mark.parametrize("state", ["pausing", "paused", "done", "stopped", "failed"])
def test_only_runs_that_go_on_are_claimed(run: Run, state: str) -> None:
    Run.objects.filter(pk=run.pk).update(state=state)
    assert claims.claim("w1", "test") is None


def test_a_lease_is_renewed_by_its_holder_only(run: Run) -> None:
    claim = world.take()
    assert claims.renew(claim.lease)
    assert not claims.renew(claims.Lease(Evaluation, claim.evaluation_id, claim.lease.token + 1))


def test_a_lease_is_lost_when_the_run_is_stopped(run: Run) -> None:
    claim = world.take()
    transitions.stop(run.pk)
    assert not claims.renew(claim.lease)


def test_an_expired_lease_goes_back_and_its_attempt_is_lost(run: Run) -> None:
    claim = world.take("w1")
    expire(claim.evaluation_id)
    assert repairs.reap() == 1
    again = world.take("w2")
    assert (again.evaluation_id, again.attempt) == (claim.evaluation_id, 2)
    attempt = Attempt.objects.get(token=claim.lease.token)
    assert attempt.outcome == "lost"
    assert "w1 did not report" in attempt.error


def test_a_worker_that_starts_anew_gives_its_own_leases_back_at_once(run: Run) -> None:
    mine, theirs = world.take("w1"), world.take("w2")
    assert repairs.expire_leases_of("w1") == 1
    assert repairs.reap() == 1
    assert world.finish(theirs) and not world.finish(mine)
    world.check(run)


def test_a_live_lease_is_not_reaped(run: Run) -> None:
    world.take()
    assert repairs.reap() == 0


def test_the_third_lost_attempt_is_poison(run: Run) -> None:
    for _ in range(MAX_ATTEMPTS):
        claim = world.take()
        expire(claim.evaluation_id)
        repairs.reap()
    evaluation = Evaluation.objects.get(pk=claim.evaluation_id)
    assert (evaluation.status, evaluation.failure_kind) == ("failed", "poison")
    assert "Given up after 3 attempts" in evaluation.failure
    assert world.take().evaluation_id != claim.evaluation_id
    world.check(run)
