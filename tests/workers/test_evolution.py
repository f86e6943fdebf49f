"""A real evolution: a Celery worker with its device process, the demo pack, and the journey of every number into the rows.

The same by hand is `browser/test_journey.py`, which the default suite runs.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from merging.benchmarks import BenchmarkSpec
from merging.demo import PACK
from merging.fingerprints import fingerprint
from merging.objectives import Objective
from merging.recipes import Parent
from tests.conftest import worker_command
from tests.ledger import world
from tests.workers.conftest import has_ended, wait_for
from webapp.exports.models import Export
from webapp.runs import actions
from webapp.runs.config import RunConfig
from webapp.runs.models import Run
from webapp.runs.outcomes import unpacked
from webapp.system.models import Worker
from webapp.system.processes import Child
from workers.ledger.exports import folder


def demo(name: str) -> Parent:
    return Parent(name, str(PACK / name), fingerprint(PACK / name))


def launch(owner: User, **changes: int) -> Run:
    config = RunConfig(
        parents=(demo("japanese"), demo("addition")),
        base=demo("base"),
        objectives=(
            Objective(BenchmarkSpec.of_builtin("japanese-sums"), 1.0, n_search=20, n_validation=10, n_final=20),
        ),
        method="task_arithmetic",
        groups="block",
        settings=(),
        search="cma_es",
        population_size=None,
        **{"budget": 12, "seed": 1, **changes},
        dtype="float32",
    )
    return actions.launch(owner, config, "demo")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_tiny_parents_evolve_and_the_winner_is_built(owner: User, worker_process: Child) -> None:
    wait_for(lambda: Worker.objects.filter(ready=True).exists(), 120)
    run = launch(owner)
    wait_for(lambda: has_ended(run), 120)
    world.check(run)
    assert run.state == "done", run.message
    scored = run.evaluations.filter(split="search", candidate__kind="evolved", status="done")
    assert scored.count() == 12
    winner = run.winner
    assert winner is not None
    assert scored.order_by("-fitness")[0].fitness == winner.evaluations.get(split="search").fitness
    found = unpacked(winner.evaluations.get(split="final").scores.get().outcomes)
    assert len(found) == 20 and any(outcome.completion for outcome in found)

    export = Export.objects.create(owner=owner, candidate=winner)
    actions.wake(run.pk)
    wait_for(lambda: Export.objects.filter(pk=export.pk, status="done").exists())
    files = {file.name: file for file in export.files.all()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md", "recipe.json"} <= set(files)
    for name, file in files.items():
        assert (folder() / str(export.pk) / name).stat().st_size == file.n_bytes
    assert not list(folder().glob(f"*{export.pk}.*")), "nothing of the building is left"


def evolve(owner: User, log: Path, kill: bool) -> list[str]:
    """The populations of one run; with a kill, of one whose worker dies in its second generation and is started again."""
    command = worker_command()
    worker = Child(command, log)
    run = launch(owner, budget=33)
    if kill:
        wait_for(lambda: run.generations.count() == 2, 120)
        os.kill(worker.pid, signal.SIGKILL)
        worker.stop()
        worker = Child(command, log)
    wait_for(lambda: has_ended(run), 240)
    worker.stop()
    world.check(run)
    return world.populations(run)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_same_seed_gives_the_same_populations_also_when_the_worker_is_killed(owner: User, tmp_path: Path) -> None:
    """With the real device: scores have to be the same bit for bit, too."""
    undisturbed, killed = (evolve(owner, tmp_path / "worker.log", kill) for kill in (False, True))
    assert len(undisturbed) >= 3
    assert undisturbed == killed
