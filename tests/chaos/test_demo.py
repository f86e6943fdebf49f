"""With real models: the demo pack, a worker as the studio starts it, and its device process, killed now and then."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.chaos.crew import children_of
from tests.chaos.stage import Stage
from tests.conftest import worker_command
from tests.ledger import world
from tests.workers.conftest import has_ended, wait_for
from tests.workers.test_evolution import launch
from webapp.system.processes import Child

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]


def evolve(stage: Stage, log: Path, kills: str) -> list[str]:
    """The populations of one run; each letter is a kill after three more results, of the worker (w) or of its device (d)."""
    command = worker_command()
    worker = Child(command, log)
    run = launch(stage.owner, budget=33)
    for victim in kills:
        wanted = stage.n_done() + 3
        wait_for(lambda wanted=wanted: stage.n_done() >= wanted, 300)  # type: ignore[misc]
        if victim == "d":
            for pid in children_of(worker.pid):
                os.kill(pid, signal.SIGKILL)
        else:
            os.kill(worker.pid, signal.SIGKILL)
            worker.stop()
            worker = Child(command, log)
    wait_for(lambda: has_ended(run), 600)
    worker.stop()
    world.check(run)
    assert run.state == "done"
    assert not run.evaluations.exclude(status="done").exists()
    return world.populations(run)


def test_real_models_evolve_the_same_when_their_worker_is_killed(stage: Stage, tmp_path: Path) -> None:
    undisturbed, killed = (evolve(stage, tmp_path / "worker.log", kills) for kills in ("", "dwdwd"))
    assert len(undisturbed) >= 3
    assert undisturbed == killed
    stage.figures.add("demo pack", **{"kill -9": 5})
