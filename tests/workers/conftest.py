"""Worker processes with a fake device, on the test database."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.context import ForkProcess
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from tests.conftest import PATIENCE, worker_command
from tests.ledger import world
from tests.workers import fake_worker
from webapp.env import BASE_DIR
from webapp.runs.models import ENDED, Run

FORK = multiprocessing.get_context("fork")  # a worker that is started anew needs seconds to import what is here already


class Staff:
    """Starts workers with fake devices, keeps the plan of these, ends them all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plan = folder / "plan.json"
        self.forked: list[ForkProcess] = []
        self.started: list[subprocess.Popen[bytes]] = []
        self.write_plan()

    def write_plan(self, seconds: float = 0.01, **trouble: str) -> None:
        """What the fake devices do; `trouble` maps candidates' names of the newest run to misbehaviour."""
        digests = {
            Run.objects.latest("created").candidates.get(name=name.replace("_", ".")).recipe_digest: what
            for name, what in trouble.items()
        }
        self.plan.write_text(json.dumps({"seconds": seconds, "trouble": digests}))

    def fork(self, name: str = "w1", traps: str = "") -> ForkProcess:
        """A worker with traps at its failpoints."""
        log = self.folder / f"{name}.log"
        process = FORK.Process(target=fake_worker.run_forked, args=(name, fake_worker.command(self.plan), traps, log))
        process.start()
        self.forked.append(process)
        return process

    def start(self, words: Sequence[str], **environment: str) -> subprocess.Popen[bytes]:
        """A worker as a program of its own, on the test database."""
        database = worker_command().environment
        with (self.folder / "started.log").open("ab") as log:
            everything = {**os.environ, **database, **environment}
            process = subprocess.Popen(words, cwd=BASE_DIR, env=everything, stdout=log, stderr=log)
        self.started.append(process)
        return process

    def end(self) -> None:
        for process in self.forked:
            process.kill()
            process.join()
        for started in self.started:
            started.kill()
            started.wait()


def wait_for(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Until it holds; the test fails when it takes longer."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def has_ended(run: Run) -> bool:
    run.refresh_from_db()
    return run.state in ENDED


@pytest.fixture
def owner(transactional_db: None) -> User:
    return User.objects.create(username="owner")


@pytest.fixture
def run(owner: User, tmp_path: Path) -> Run:
    return world.launch(owner, tmp_path, budget=20)


@pytest.fixture
def staff(transactional_db: None, tmp_path: Path) -> Iterator[Staff]:
    staff = Staff(tmp_path)
    yield staff
    staff.end()
