"""A worker that staff has drained: it finishes what it has, and takes nothing until it may."""

from __future__ import annotations

import time

from tests.workers.conftest import Staff, has_ended, wait_for
from webapp.runs.models import Attempt, Run
from webapp.system import crew


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
