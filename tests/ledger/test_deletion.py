"""A run may be deleted at any moment; what it has chosen from the library may be taken off the lists while it goes on."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import F

from tests.ledger import world
from webapp.exports.models import Export
from webapp.library.actions import hide
from webapp.library.models import Benchmark, Parent
from webapp.lineage.models import Adoption
from webapp.runs import actions, transitions
from webapp.runs.models import Attempt, Candidate, Evaluation, Event, Generation, Outcomes, Run, Score
from workers.failures import Failure
from workers.ledger import claims, generations, housekeeping, repairs, results
from workers.ledger.searches import Searches

pytestmark = pytest.mark.django_db
ROWS = (Generation, Candidate, Evaluation, Attempt, Score, Outcomes, Event)


def long_ago(run: Run) -> None:
    """As if it had been deleted an hour before."""
    Run.objects.filter(pk=run.pk).update(deleted_at=F("deleted_at") - timedelta(hours=1))


@pytest.mark.parametrize("n", [0, 1, 4, 9, 20])
def test_a_run_that_is_deleted_while_it_is_computed_ends_at_once(run: Run, n: int) -> None:
    world.work(run, n=n)
    claim = claims.claim("w1", "test")
    assert actions.delete(run)
    run.refresh_from_db()
    assert run.state == "stopped" and run.ended
    assert claim is None or not claims.renew(claim.lease)
    assert claim is None or not world.finish(claim)
    assert claims.claim("w2", "test") is None
    assert run.pk not in generations.due()
    world.check(run)


def test_who_wakes_when_the_run_is_long_gone_is_not_heard(run: Run) -> None:
    claim = world.take()
    actions.delete(run)
    long_ago(run)
    assert housekeeping.purge_deleted() == 1
    assert not world.finish(claim)
    assert not results.fail(claim, Failure("candidate", "tensor", "q_proj holds NaN."))
    assert not results.give_back(claim, "released")


@pytest.mark.parametrize("state", ["pausing", "paused", "finishing", "done"])
def test_a_run_is_deleted_in_any_state(run: Run, state: str) -> None:
    memory = Searches()
    if state == "pausing":
        world.take()
        transitions.pause(run.pk)
    elif state == "paused":
        transitions.pause(run.pk)
    else:
        while run.state != state:
            world.work(run, memory, n=1)
    run.refresh_from_db()
    assert run.state == state
    assert actions.delete(run)
    run.refresh_from_db()
    assert run.state == ("done" if state == "done" else "stopped")
    world.check(run)


def test_after_a_while_nothing_of_it_is_left_and_nothing_of_others_is_lost(
    run: Run, owner: User, tmp_path: Path
) -> None:
    world.work(run)
    other = world.work(world.launch(owner, tmp_path, seed=8))
    before = [rows.objects.count() for rows in ROWS]
    actions.delete(run)
    assert housekeeping.purge_deleted() == 0
    long_ago(run)
    assert housekeeping.purge_deleted() == 1
    assert list(Run.objects.all()) == [other]
    assert [2 * rows.objects.count() for rows in ROWS] == before
    assert housekeeping.purge_deleted() == 0
    world.check(other)


def test_it_stays_while_a_model_of_it_is_there(
    run: Run, owner: User, settings: Any, tmp_path: Path, django_capture_on_commit_callbacks: Any
) -> None:
    settings.DATA_DIR = tmp_path
    world.work(run)
    export = Export.objects.create(owner=owner, candidate=run.candidates.latest("pk"), status="done")
    (tmp_path / "exports" / str(export.pk)).mkdir(parents=True)
    actions.delete(run)
    long_ago(run)
    assert housekeeping.purge_deleted() == 0
    with django_capture_on_commit_callbacks(execute=True):
        repairs.sweep_exports()
    assert housekeeping.purge_deleted() == 1
    assert not Run.objects.exists() and not Export.objects.exists()
    assert list((tmp_path / "exports").iterdir()) == []


def test_it_stays_while_a_model_of_it_is_a_parent(run: Run, owner: User) -> None:
    world.work(run)
    parent = Parent.objects.create(
        owner=owner, name="child", n_layers=2, hidden_size=2, vocab_size=4, n_parameters=1, n_bytes=1
    )
    Adoption.objects.create(candidate=run.candidates.latest("pk"), parent=parent)
    actions.delete(run)
    long_ago(run)
    assert housekeeping.purge_deleted() == 0
    assert Run.objects.filter(pk=run.pk).exists()


def test_what_is_taken_off_the_lists_meanwhile_is_computed_with_all_the_same(run: Run, owner: User) -> None:
    config = world.RunConfig.from_json(run.config)
    parents = [
        Parent.objects.create(
            owner=owner, name=parent.name, folder=parent.folder, fingerprint=parent.fingerprint, n_layers=2, hidden_size=2,
            vocab_size=4, n_parameters=1, n_bytes=1,
        )
        for parent in config.parents
    ]  # fmt: skip
    spec = config.objectives[0].spec
    benchmark = Benchmark.objects.create(
        owner=owner, name="sums", spec=spec.to_json(), digest=spec.digest, n_search=5, n_validation=5, n_final=5
    )
    world.work(run, n=6)
    for row in (*parents, benchmark):
        hide(row)
    world.work(run)
    assert run.state == "done"
    assert world.populations(run) == world.uninterrupted(run)
    world.check(run)
