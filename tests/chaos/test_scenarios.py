"""Processes are killed, frozen and cut off while runs go on. Whatever happens, the ledger's invariants hold at every instant, and every run
ends with the populations of the same run uninterrupted. Each scenario plays small in the suite or its slow part, and large with
./progeny test --chaos.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos.stage import Stage, answered
from webapp.exports.models import Export
from webapp.leases import MAX_ATTEMPTS
from webapp.runs import actions
from webapp.runs.models import Attempt, Candidate, Evaluation, Run
from webapp.runs.transitions import OPEN
from workers import failpoints

NAMES = ("w1", "w2")
KINDS: tuple[dict[str, Any], ...] = (
    {"search": "cma_es", "steady": True},
    {"search": "cma_es", "fidelity": "batch", "population_size": 6},
    {"search": "random"},
    {"search": "cma_es"},
)
RARE = ",".join(("any:kill:0.03", "after_result:lose:0.2", "after_claim:lose:0.05"))
SEEDS = range(1, 11)
large = pytest.mark.chaos


def kind(seed: int) -> dict[str, Any]:
    """What run a seed plays with."""
    return KINDS[seed % len(KINDS)]


def test_without_faults_no_attempt_is_wasted(stage: Stage) -> None:
    for seed in SEEDS[:3]:
        stage.launch(seed, budget=24, **kind(seed))
    for name in (*NAMES, "w3"):
        stage.crew.start(name)
    stage.wait_for_ends()
    stage.figures.add("no fault", **stage.judge(faults=0))
    assert {*Attempt.objects.values_list("outcome", flat=True)} == {"accepted"}


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("seed", "n"), [(0, 100), *(pytest.param(seed, 100, marks=large) for seed in SEEDS)])
def test_kills_lose_nothing_and_count_nothing_twice(stage: Stage, seed: int, n: int) -> None:
    draw = random.Random(seed)
    stage.launch(seed, budget=60, **kind(seed))
    for name in NAMES:
        stage.crew.start(name)
    n_killed = 0
    while n_killed < n:
        n_killed += kill_one(stage, draw)
        for name in stage.crew.dead():
            stage.crew.start(name, RARE if draw.random() < 0.3 else "")
        if n_killed % 5 == 0:
            stage.check()
        if stage.has_ended(stage.runs[-1]):
            stage.launch(seed + 100 * len(stage.runs), budget=60, **kind(seed))
    end(stage)
    trapped = stage.crew.trapped()
    found = stage.judge(faults=n_killed + trapped.total())
    stage.figures.add("kill -9 at random", **{"kill -9": n_killed, "trapped": trapped.total()}, **found)
    stage.figures.add_points(trapped)


def kill_one(stage: Stage, draw: random.Random) -> bool:
    """A worker at work, or only its device; one that idles, where nobody works; none whose work that would end for good."""
    wait_a_little(lambda: stage.busy() - stage.spared())
    time.sleep(draw.uniform(0.0, 0.1))
    chosen = (stage.busy() or {*stage.crew.workers}) - stage.spared() - {*stage.crew.dead()}
    if not chosen:
        return False
    name = draw.choice(sorted(chosen & {*stage.crew.workers}) or [*stage.crew.workers])
    if draw.random() < 0.4:
        return stage.crew.kill_device(name)
    stage.crew.kill(name)
    if draw.random() < 0.3:  # its successor has another name and waits for the end of its lease
        del stage.crew.workers[name]
        stage.crew.start(f"{name[:2]}.{draw.randrange(1000)}")
    return True


def end(stage: Stage) -> None:
    """Enough: let the runs come to their ends."""
    for name in stage.crew.dead():
        stage.crew.start(name)
    stage.wait_for_ends()


def wait_a_little(condition: Callable[[], object]) -> None:
    """Until it holds, two seconds at most."""
    deadline = time.monotonic() + 2.0
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("n", [2, pytest.param(20, marks=large)])
def test_who_freezes_beyond_the_lease_is_fenced(stage: Stage, n: int) -> None:
    stage.launch(5, budget=24 + 6 * n)
    stage.crew.start("w0")
    frozen = [f"f{i}" for i in range(n)]
    while waiting := [name for name in frozen if not Attempt.objects.filter(worker=name, outcome="fenced").exists()]:
        for name, point in zip(waiting[:2], ("before_result", "while_computing"), strict=False):
            stage.crew.start(name, f"{point}:freeze")
        for name in waiting[:2]:
            stage.wait_for(lambda name=name: stage.crew.is_frozen(name), f"{name} is frozen")  # type: ignore[misc]
        lost = Attempt.objects.filter(worker__in=waiting[:2], outcome="lost")
        stage.wait_for(lambda: lost.count() == len(waiting[:2]), "their work is given up for lost")  # noqa: B023
        for name in waiting[:2]:
            stage.crew.wake(name)
        fenced = Attempt.objects.filter(worker__in=waiting[:2], outcome="fenced")
        stage.wait_for(lambda: fenced.count() == len(waiting[:2]), "they are fenced when they wake")  # noqa: B023
        for name in waiting[:2]:
            stage.crew.kill(name)
            del stage.crew.workers[name]
    stage.wait_for_ends()
    found = stage.judge(faults=3 * n)
    stage.figures.add("frozen beyond the lease", freezes=n, **found)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("n", [1, pytest.param(50, marks=large)])
def test_postgres_crashes(stage: Stage, n: int) -> None:
    play_with_servers(stage, "Postgres restarts", stage.restart_postgres, n)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("n", [1, pytest.param(20, marks=large)])
def test_valkey_crashes(stage: Stage, n: int) -> None:
    play_with_servers(stage, "Valkey restarts", stage.restart_valkey, n)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("n", [pytest.param(2, marks=pytest.mark.slow), pytest.param(20, marks=large)])
def test_valkey_is_flushed(stage: Stage, n: int) -> None:
    play_with_servers(stage, "Valkey flushes", stage.flush_valkey, n)


def play_with_servers(stage: Stage, what: str, disturb: Callable[[], None], n: int) -> None:
    """Disturb so many times while two workers work, each time after some results."""
    draw = random.Random(n)
    stage.launch(1, budget=30, **kind(1))
    for name in NAMES:
        stage.crew.start(name)
    for _ in range(n):
        n_done = stage.n_done()
        wait_a_little(lambda: stage.n_done() > n_done)  # noqa: B023
        time.sleep(draw.uniform(0.0, 0.1))
        disturb()
        stage.check()
        if stage.has_ended(stage.runs[-1]):
            stage.launch(1 + 100 * len(stage.runs), budget=30, **kind(len(stage.runs)))
    end(stage)
    stage.figures.add(what, disturbed=n, **stage.judge(faults=len(NAMES) * n))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.slow), pytest.param(10, marks=large)])
def test_everything_is_killed_and_work_goes_on_by_itself(stage: Stage, n: int) -> None:
    stage.launch(3, budget=30)
    slowest = 0.0
    for _ in range(n):
        for name in NAMES:
            stage.crew.start(name)
        n_done = stage.n_done()
        stage.wait_for(lambda: stage.n_done() > n_done or stage.has_ended(stage.runs[-1]), "something is done")  # noqa: B023
        for name in NAMES:
            stage.crew.kill(name)
        stage.services.crash_postgres()
        stage.services.crash_valkey()
        stage.services.start()
        if stage.has_ended(stage.runs[-1]):
            stage.launch(3 + 100 * len(stage.runs), budget=30)
        n_claimed = answered(Attempt.objects.count)
        for name in NAMES:
            stage.crew.start(f"{name}b")
        claimed = stage.wait_for(lambda: Attempt.objects.count() > n_claimed, "somebody claims again")  # noqa: B023
        slowest = max(slowest, claimed)
        for name in NAMES:
            stage.crew.kill(f"{name}b")
    for name in NAMES:
        stage.crew.start(name)
    stage.wait_for_ends()
    assert slowest < 60
    found = stage.judge(faults=4 * n)
    stage.figures.add(
        "everything killed", **{"times killed": n, "slowest to claim again, ms": round(1000 * slowest)}, **found
    )


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("n", [pytest.param(n, marks=large) for n in (1, 20)])
def test_killed_at_every_failpoint(stage: Stage, n: int) -> None:
    """A worker with a trap is started until it has died there, so often. A fifth of all candidates fail, and devices die by themselves."""
    stage.launch(2, budget=12, **kind(1))
    for point in failpoints.POINTS:
        stage.crew.plan(slowest=2.0 if "renewal" in point else 0.05, bad=0.2, dying=0.3)
        for _ in range(n):
            die_at(stage, point)
    stage.crew.plan(bad=0.2)
    stage.crew.start("w1")
    stage.wait_for(lambda: stage.has_ended(stage.runs[-1]) or gave_up(stage), "the last run ends")
    trapped = stage.crew.trapped()
    assert all(trapped[point, "kill"] >= n for point in failpoints.POINTS)
    found = stage.judge(faults=MAX_ATTEMPTS * Evaluation.objects.count())
    stage.figures.add("kill -9 at each failpoint", trapped=trapped.total(), **found)
    stage.figures.add_points(trapped)


def die_at(stage: Stage, point: str) -> None:
    """Give a worker whatever leads it to the point."""
    if point in ("inside_reap", "after_reap"):
        die_at(stage, "after_claim")
    name = "w2" if "reap" in point else "w1"
    process = stage.crew.start(name, f"{point}:kill")
    deadline = time.monotonic() + stage.patience_seconds
    while process.is_alive():
        assert time.monotonic() < deadline, f"no worker came to {point}"
        if stage.has_ended(stage.runs[-1]) or gave_up(stage):
            stage.launch(2 + Run.objects.count() * 100, budget=12, **kind(1))
        if ("export" in point or "rename" in point) and not Export.objects.filter(status__in=OPEN).exists():
            asked = Candidate.objects.filter(exports=None).exclude(kind="parent")
            Export.objects.create(owner=stage.owner, candidate=asked[0])
        process.join(0.1)
    assert process.exitcode == -signal.SIGKILL, point
    stage.check()


def gave_up(stage: Stage) -> bool:
    """Whether the newest run pauses because all of a generation is poison, as so many deaths make it. It is then of no further use."""
    run = stage.runs[-1]
    if run.state != "paused":
        return False
    stage.runs.remove(run)
    return answered(lambda: actions.stop(run))
