"""The harness is able to fail: each bug of `bugs.py`, planted in all workers, is caught, and by what it should be caught by."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.chaos import bugs
from tests.chaos.stage import Stage
from webapp.runs.models import Attempt

ALWAYS = (bugs.an_event_is_lost, bugs.no_fence)
PLANTED = [
    pytest.param(bug, said, marks=[] if bug in ALWAYS else [pytest.mark.chaos], id=bug.__name__)
    for bug, said in bugs.BUGS.items()
]
pytestmark = pytest.mark.timeout(600)


def play(stage: Stage, prepare: Callable[[], None]) -> None:
    """One worker freezes beyond its lease and wakes while another computes the same; one is killed; some candidates fail."""
    run = stage.launch(3, budget=48, population_size=8)
    stage.crew.plan(a="slow")
    stage.crew.start("frozen", "before_result:freeze", prepare)
    stage.wait_for(lambda: stage.crew.is_frozen("frozen"), "the worker is frozen")
    attempts = Attempt.objects.filter(evaluation__run=run, evaluation__candidate__name="a", evaluation__split="search")
    stage.crew.start("w1", prepare=prepare)
    stage.wait_for(lambda: attempts.filter(outcome="lost").exists(), "its work is given up for lost")
    stage.wait_for(lambda: attempts.filter(worker="w1").exists(), "another takes it")
    stage.crew.wake("frozen")
    stage.wait_for(lambda: attempts.filter(worker="frozen", outcome="fenced").exists(), "it is fenced when it wakes")
    stage.crew.kill("frozen")
    kept = attempts.filter(worker="w1", outcome="accepted")
    stage.wait_for(kept.exists, "who computes longer than a lease keeps it")
    stage.crew.plan(slowest=0.3, bad=0.2)
    for name in ("w2", "w3"):
        stage.crew.start(name, prepare=prepare)
    stage.wait_for(lambda: "w1" in stage.busy(), "the first worker works")
    stage.crew.kill("w1")
    stage.wait_for_ends()
    stage.judge(faults=3)


@pytest.mark.slow
def test_without_a_bug_nothing_is_caught(stage: Stage) -> None:
    play(stage, lambda: None)


@pytest.mark.parametrize(("bug", "said"), PLANTED)
def test_a_bug_is_caught(stage: Stage, bug: Callable[[], None], said: str) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception), match=said):
        play(stage, bug)
    stage.figures.add("planted bugs", caught=1)
