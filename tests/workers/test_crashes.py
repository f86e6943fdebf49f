"""Real processes are killed at every point that matters; nothing is lost, counted twice or proposed differently."""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from tests.conftest import PATIENCE
from tests.ledger import world
from tests.workers.conftest import Staff, has_ended, wait_for
from webapp.exports.models import Export
from webapp.runs.models import Attempt, Run
from webapp.system.models import Worker
from workers.ledger import generations
from workers.ledger.searches import Searches

POINTS = (
    "after_claim",
    "before_result",
    "inside_result",
    "after_result",
    "inside_opening",
    "after_advance",
    "inside_closing",
)
AT_THE_END = "inside_finishing"


def outcomes(run: Run) -> list[str]:
    return list(Attempt.objects.filter(evaluation__run=run).order_by("token").values_list("outcome", flat=True))


def asked_of(run: Run) -> list[tuple[str, str]]:
    """Who was asked on which split: each once."""
    return sorted(run.evaluations.values_list("candidate__name", "split"))


def test_a_run_without_faults_has_no_attempt_too_many(run: Run, staff: Staff) -> None:
    staff.fork()
    wait_for(lambda: has_ended(run))
    assert run.state == "done"
    assert set(outcomes(run)) == {"accepted"}
    assert world.populations(run) == world.uninterrupted(run)
    world.check(run)


@pytest.mark.parametrize("fidelity", ["full", pytest.param("batch", marks=pytest.mark.slow)])
def test_killed_at_every_point_the_run_ends_as_if_nothing_had_happened(
    owner: User, tmp_path: Path, staff: Staff, fidelity: str
) -> None:
    undisturbed = world.work(world.launch(owner, tmp_path, fidelity=fidelity))
    run = world.launch(owner, tmp_path, fidelity=fidelity)
    for point in (*POINTS, AT_THE_END):
        process = staff.fork("w1", f"{point}:kill")
        process.join(PATIENCE)
        assert process.exitcode == -signal.SIGKILL, point
        world.check(run)
    staff.fork()
    wait_for(lambda: has_ended(run))
    assert run.state == "done"
    assert world.populations(run) == world.uninterrupted(run)
    assert asked_of(run) == asked_of(undisturbed)
    assert run.winner and undisturbed.winner and run.winner.name == undisturbed.winner.name
    assert outcomes(run).count("lost") <= len(POINTS) + 1
    world.check(run)


def test_a_child_that_dies_or_hangs_costs_an_attempt_and_three_are_poison(run: Run, staff: Staff) -> None:
    generations.advance(run.pk, Searches())
    staff.write_plan(g0_0="die once", g0_1="die", g0_2="hang once")
    process = staff.fork()
    wait_for(lambda: has_ended(run))
    assert process.is_alive()
    assert Counter(outcomes(run)) == {"accepted": run.evaluations.count() - 1, "lost": 4, "hung": 1}
    poisoned = run.evaluations.get(status="failed")
    assert (poisoned.candidate.name, poisoned.failure_kind, poisoned.attempts) == ("g0.1", "poison", 3)
    assert "killed (signal 9)" in poisoned.failure
    assert run.state == "done"
    world.check(run)


def test_a_missing_parent_pauses_the_run_and_spends_nothing(run: Run, staff: Staff) -> None:
    generations.advance(run.pk, Searches())
    staff.write_plan(g0_0="parent gone")
    staff.fork()
    wait_for(lambda: Run.objects.filter(pk=run.pk, state="paused").exists())
    run.refresh_from_db()
    assert run.message == "a has no model.safetensors. Mend it and resume."
    assert not run.evaluations.filter(status="failed").exists()
    world.check(run)


def test_a_parent_that_goes_missing_after_the_search_does_not_hold_the_end_up(run: Run, staff: Staff) -> None:
    while Run.objects.get(pk=run.pk).state != "finishing":
        world.work(run, n=1)
    run.refresh_from_db()
    assert run.winner
    staff.write_plan(**{run.winner.name.replace(".", "_"): "parent gone"})
    staff.fork()
    wait_for(lambda: has_ended(run))
    unscored = run.evaluations.get(candidate=run.winner, split="final")
    assert (run.state, unscored.status, unscored.attempts) == ("done", "failed", 3)
    assert unscored.failure.endswith("a has no model.safetensors.") and run.examined
    world.check(run)


def test_people_who_wait_for_a_download_go_first(run: Run, owner: User, staff: Staff, settings: Any) -> None:
    generations.advance(run.pk, Searches())
    export = Export.objects.create(owner=owner, candidate=run.candidates.get(name="g0.3"))
    staff.fork()
    wait_for(lambda: Export.objects.filter(pk=export.pk, status="done").exists())
    wait_for(lambda: has_ended(run))
    export.refresh_from_db()
    assert export.finished < run.evaluations.order_by("finished")[0].finished
    card = settings.DATA_DIR / "exports" / str(export.pk) / "README.md"
    assert card.stat().st_size == export.n_bytes == export.files.get().n_bytes
    assert "g0.3" in card.read_text()


def test_told_to_end_a_worker_gives_back_what_takes_too_long(run: Run, staff: Staff) -> None:
    generations.advance(run.pk, Searches())
    staff.write_plan(g0_0="slow")
    process = staff.fork()
    wait_for(lambda: run.evaluations.filter(candidate__name="g0.0", status="leased").exists())
    began = time.monotonic()
    process.terminate()
    process.join(PATIENCE)
    assert process.exitcode == 0
    assert time.monotonic() - began < 30
    assert outcomes(run)[-1] == "released"
    assert run.evaluations.get(candidate__name="g0.0", split="search").attempts == 0
    assert Worker.objects.get().stopped is not None


def test_a_stop_reaches_the_candidate_that_is_being_computed(run: Run, staff: Staff) -> None:
    from webapp.runs import transitions

    generations.advance(run.pk, Searches())
    staff.write_plan(g0_1="slow")
    staff.fork()
    wait_for(lambda: run.evaluations.filter(candidate__name="g0.1", status="leased").exists())
    transitions.stop(run.pk)
    wait_for(lambda: has_ended(run))
    assert run.state == "stopped"
    assert "fenced" in outcomes(run)
    world.check(run)


def test_without_redis_the_work_goes_on(run: Run, staff: Staff) -> None:
    words = (sys.executable, "-m", "tests.workers.fake_worker", "w1", str(staff.plan))
    staff.start(words, REDIS_URL="unix:///nowhere/valkey.sock")
    wait_for(lambda: has_ended(run))
    assert run.state == "done"
    assert run.events.filter(relayed=None).exists()
    world.check(run)
