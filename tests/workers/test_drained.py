"""A worker that staff has drained, or that is of another version: it finishes what it has, and takes nothing until it may."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db.migrations.recorder import MigrationRecorder

from tests.workers.conftest import Staff, has_ended, wait_for
from webapp.runs.models import Attempt, Run
from webapp.system import crew
from webapp.system.models import Worker


def test_it_finishes_what_it_has_and_takes_nothing_until_it_may(run: Run, staff: Staff) -> None:
    staff.write_plan(seconds=0.15)
    staff.fork("w1")
    wait_for(lambda: run.evaluations.filter(status="leased").exists())
    assert crew.drain("w1", takes_work=False)
    time.sleep(1.0)  # more than one evaluation takes
    taken = Attempt.objects.count()
    assert not Attempt.objects.exclude(outcome="accepted").exists()
    time.sleep(1.2)  # three of its pulses
    assert Attempt.objects.count() == taken
    assert crew.drain("w1", takes_work=True)
    wait_for(lambda: has_ended(run))
    assert run.state == "done"


@pytest.fixture
def newer(transactional_db: None) -> Iterator[Any]:
    """A table of tomorrow. Rows about tables are not emptied after a test."""
    row = MigrationRecorder.Migration.objects.create(app="runs", name="9999_of_tomorrow")
    yield row
    MigrationRecorder.Migration.objects.filter(name=row.name).delete()


def test_one_of_another_version_than_the_database_takes_nothing_and_says_why(
    run: Run, staff: Staff, newer: Any
) -> None:
    staff.fork("w1")
    wait_for(lambda: Worker.objects.filter(pk="w1", ready=True, refused__contains="older than the server").exists())
    time.sleep(1.2)  # three of its pulses
    assert not Attempt.objects.exists()
    newer.delete()
    wait_for(lambda: has_ended(run))
    assert run.state == "done"
