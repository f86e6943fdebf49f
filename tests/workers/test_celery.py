"""The worker as it is started for real: a Celery process. Wake-ups only hurry it; signals end it."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from tests.conftest import PATIENCE, is_alive
from tests.ledger import world
from tests.workers.conftest import Staff, has_ended, wait_for
from webapp.queue import wake
from webapp.runs.models import Attempt, Run
from webapp.runs.task_names import DRAIN
from webapp.system.models import Worker
from webapp.system.programs import worker_commands
from workers.celery import app
from workers.ledger import generations
from workers.ledger.searches import Searches


def start(staff: Staff, n_workers: int = 1) -> subprocess.Popen[bytes]:
    """The command of the house, with a fake device, so many times; returns the last when all are ready."""
    for n in range(n_workers):
        words = [word.replace("workers.celery", "tests.workers.fake_celery") for word in worker_commands()[0].words]
        words = [f"worker{n}@%h" if "@" in word else word for word in words]
        process = staff.start(words, FAKE_PLAN=str(staff.plan))
    wait_for(lambda: Worker.objects.filter(ready=True, stopped=None).count() == n_workers)
    return process


def children(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for found in lists for child in found.read_text().split()]


def test_the_settings_that_the_ledger_relies_on_are_in_force() -> None:
    conf = app.conf
    assert conf.accept_content == ["json"] and conf.task_serializer == "json"
    assert not conf.task_acks_late
    assert conf.task_ignore_result
    assert conf.worker_prefetch_multiplier == 1
    app.loader.import_default_modules()
    assert DRAIN in app.tasks


def test_a_hundred_wake_ups_have_the_effect_of_one_and_it_ends_when_told(run: Run, staff: Staff) -> None:
    process = start(staff)
    for _ in range(100):
        wake(run.pk)
    wait_for(lambda: has_ended(run))
    assert Attempt.objects.count() == run.evaluations.count()
    assert world.populations(run) == world.uninterrupted(run)
    world.check(run)

    worker = Worker.objects.get()
    assert (worker.device, worker.ready) == ("fake", True)
    process.terminate()
    assert process.wait(PATIENCE) == 0
    worker.refresh_from_db()
    assert worker.stopped is not None and not worker.ready


@pytest.mark.slow
def test_a_busy_worker_leaves_a_wake_up_to_an_idle_one(run: Run, owner: User, staff: Staff) -> None:
    staff.write_plan(a="slow once")
    start(staff, 2)
    wait_for(
        lambda: (
            list(run.evaluations.exclude(status="done").values_list("candidate__name", "status")) == [("a", "leased")]
        )
    )
    other = world.launch(owner, staff.folder)  # sends a wake-up
    began = time.monotonic()
    wait_for(lambda: Attempt.objects.filter(evaluation__run=other).exists())
    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize("told", [signal.SIGTERM, pytest.param(signal.SIGQUIT, marks=pytest.mark.slow)])
def test_while_it_computes_it_ends_within_seconds_and_leaves_no_child(run: Run, staff: Staff, told: int) -> None:
    generations.advance(run.pk, Searches())
    staff.write_plan(g0_0="slow")
    process = start(staff)
    wake()
    wait_for(lambda: run.evaluations.filter(candidate__name="g0.0", status="leased").exists())
    left = children(process.pid)
    assert left
    process.send_signal(told)
    process.wait(PATIENCE)
    wait_for(lambda: not any(map(is_alive, left)))
