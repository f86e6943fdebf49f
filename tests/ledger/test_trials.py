"""Trials: claimed once, fenced, given up after three attempts, and never in the way of a run for long."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import F

from merging.recipes import passthrough_recipe
from tests.ledger import world
from tests.ledger.scores import tried
from webapp.leases import MAX_ATTEMPTS
from webapp.trials import actions
from webapp.trials.models import Trial
from workers.failures import Failure
from workers.ledger import repairs, trials
from workers.ledger.trials import TrialClaim

pytestmark = pytest.mark.django_db

CRASH = Failure("worker", "killed", "The device process was killed.")


@pytest.fixture
def trial(owner: User, tmp_path: Path) -> Iterator[Trial]:
    config = world.config(tmp_path)
    yield actions.start(owner, passthrough_recipe(config.parents[0]), [config.objectives[0].spec], "a")


def claimed(worker: str = "w1") -> TrialClaim:
    claim = trials.claim_trial(worker)
    assert claim is not None
    return claim


def expire(trial: Trial) -> None:
    Trial.objects.filter(pk=trial.pk).update(lease_until=F("lease_until") - timedelta(hours=1))


def test_a_trial_is_claimed_once_and_ends_with_its_result(trial: Trial) -> None:
    claim = claimed()
    assert trials.claim_trial("w2") is None
    assert (claim.recipe, claim.n_questions) == (trial.recipe, actions.N_QUESTIONS)
    assert trials.finish_trial(claim, [tried("sums", 3, "\0 2", "2")], 1.5)
    trial.refresh_from_db()
    assert (trial.status, trial.seconds, trial.tried[0].mean) == ("done", 1.5, 1 / 3)
    assert trial.tried[0].questions[0].completion == "\ufffd 2"


def test_a_worker_that_lacks_its_files_is_not_given_it(trial: Trial) -> None:
    assert trials.claim_trial("w1", only=[]) is None
    assert trials.claim_trial("w1", only=[trial.pk]) is not None


def test_a_worker_that_lost_the_lease_writes_nothing(trial: Trial) -> None:
    zombie = claimed()
    expire(trial)
    assert trials.waiting().exists() and repairs.claimable()
    heir = claimed("w2")
    assert not trials.finish_trial(zombie, [tried("sums", 3)], 1.0)
    assert trials.finish_trial(heir, [tried("sums", 3)], 2.0)
    trial.refresh_from_db()
    assert (trial.seconds, trial.attempts) == (2.0, 2)


@pytest.mark.parametrize("says_so", [True, False])
def test_three_workers_that_end_are_the_end_of_it(trial: Trial, says_so: bool) -> None:
    for _ in range(MAX_ATTEMPTS):
        claim = claimed()
        if says_so:
            trials.give_back_trial(claim, CRASH)
        else:
            expire(trial)
    assert trials.claim_trial("w1") is None
    trial.refresh_from_db()
    assert (trial.status, trial.failure_kind) == ("failed", "poison")
    assert trial.failure.startswith("Given up after 3 attempts")


def test_one_that_was_given_back_because_a_worker_ends_counts_no_attempt(trial: Trial) -> None:
    trials.give_back_trial(claimed())
    claimed()
    trial.refresh_from_db()
    assert trial.attempts == 1


def test_a_worker_s_earlier_life_holds_no_trial(trial: Trial) -> None:
    claimed("w1")
    assert not repairs.claimable()
    repairs.expire_leases_of("w1")
    assert repairs.claimable()


def test_what_ended_never_changes(trial: Trial) -> None:
    trials.fail_trial(claimed(), Failure("run", "parent", "a has no config.json."))
    with pytest.raises(IntegrityError), transaction.atomic():
        Trial.objects.filter(pk=trial.pk).update(status="done", failure_kind="")


def test_one_that_its_owner_forgot_is_nobody_s(trial: Trial) -> None:
    claim = claimed()
    actions.forget(trial)
    assert not trials.finish_trial(claim, [tried("sums", 3)], 1.0)
    assert not trials.give_back_trial(claim, CRASH)
