"""The handle on the device process: whatever the child does, the supervisor learns of it and has a fresh one soon."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from tests.conftest import PATIENCE, is_alive
from tests.workers.conftest import wait_for
from webapp.env import BASE_DIR
from workers.failures import Failed
from workers.runtime import Abandoned, Device, Message, Step

COMMAND = (sys.executable, "-m", "tests.workers.scripted_device")
NO_PROGRESS_SECONDS = 1.0


def ask(work_id: int, *words: str) -> Message:
    return {"do": "evaluate", "id": work_id, "recipe": words}


def ignore(step: Step | None) -> None:
    pass


@pytest.fixture
def device() -> Iterator[Device]:
    device = Device(COMMAND, lambda: None, NO_PROGRESS_SECONDS)
    device.keep()
    wait_for(lambda: device.ready)
    yield device
    device.close()


def test_answers_and_stays_for_the_next_request(device: Device) -> None:
    answers = [device.work(ask(n), ignore) for n in (1, 2)]
    assert [answer["scores"]["pid"] for answer in answers] == [device.pid, device.pid]
    assert device.description == "scripted"


def test_builds_with_the_texts_it_was_given(device: Device) -> None:
    request = {"do": "build", "id": 1, "recipe": {}, "folder": "there", "texts": {"README.md": "four"}}
    assert device.work(request, ignore)["files"] == [["there", 4]]


def test_passes_progress_on(device: Device) -> None:
    steps: list[Step | None] = []
    device.work(ask(1, "step"), steps.append)
    assert steps == [Step("evaluate", 1, 2)]


def test_ticks_while_the_device_is_silent(device: Device) -> None:
    ticks: list[Step | None] = []
    with pytest.raises(Failed):
        device.work(ask(1, "freeze"), ticks.append)
    assert None in ticks


def test_printing_libraries_do_not_spoil_the_pipe(device: Device) -> None:
    assert device.work(ask(1, "print"), ignore)["say"] == "evaluated"


def test_a_killed_child_is_a_failure_of_the_worker_and_is_replaced(device: Device) -> None:
    first = device.pid
    with pytest.raises(Failed) as caught:
        device.work(ask(1, "die"), ignore)
    assert (caught.value.failure.fault, caught.value.failure.kind) == ("worker", "killed")
    assert "ran out of memory" in caught.value.failure.sentence
    wait_for(lambda: device.ready)
    assert device.work(ask(2), ignore)["scores"]["pid"] == device.pid != first


def test_a_silent_child_counts_as_hung_and_is_replaced(device: Device) -> None:
    first = device.pid
    began = time.monotonic()
    with pytest.raises(Failed) as caught:
        device.work(ask(1, "step", "freeze"), ignore)
    assert caught.value.failure.kind == "hung"
    assert "in stage evaluate" in caught.value.failure.sentence
    assert time.monotonic() - began < NO_PROGRESS_SECONDS + 30
    wait_for(lambda: device.ready and device.pid != first)


def test_native_code_that_hangs_is_ended_although_no_thread_of_the_child_runs(device: Device) -> None:
    first = device.pid
    with pytest.raises(Failed) as caught:
        device.work(ask(1, "hang in native code"), ignore)
    assert caught.value.failure.kind == "hung"
    wait_for(lambda: device.ready and device.pid != first)


def test_the_handle_ticks_while_the_child_holds_the_gil() -> None:
    """Leases are renewed by ticks: no child can starve them."""
    device = Device(COMMAND, lambda: None, no_progress_seconds=30.0)
    device.keep()
    wait_for(lambda: device.ready)
    ticks: list[float] = []
    device.work(ask(1, "hold the GIL"), lambda step: ticks.append(time.monotonic()))
    device.close()
    assert len(ticks) >= 4
    assert max(later - earlier for earlier, later in itertools.pairwise(ticks)) < 1.5


def test_a_child_that_has_no_room_for_what_it_asks_stays(device: Device) -> None:
    """Under a real limit of its address space."""
    first = device.pid
    with pytest.raises(Failed) as caught:
        device.work(ask(1, "ask for too much"), ignore)
    assert (caught.value.failure.fault, caught.value.failure.kind) == ("candidate", "out_of_memory")
    assert caught.value.failure.sentence.startswith("Out of memory. Use a device with more memory")
    assert device.work(ask(2), ignore)["scores"]["pid"] == first


def test_progress_keeps_a_slow_child_alive(device: Device) -> None:
    began = time.monotonic()
    assert device.work(ask(1, "steps"), ignore)["say"] == "evaluated"
    assert time.monotonic() - began > 2 * NO_PROGRESS_SECONDS


def test_out_of_memory_is_the_candidates_own_and_the_child_stays(device: Device) -> None:
    first = device.pid
    with pytest.raises(Failed) as caught:
        device.work(ask(1, "out of memory"), ignore)
    assert (caught.value.failure.fault, caught.value.failure.kind) == ("candidate", "out_of_memory")
    assert "2.00 GiB" in caught.value.failure.sentence
    assert device.work(ask(2), ignore)["scores"]["pid"] == first


def test_an_exception_nobody_understands_is_the_workers_and_the_child_is_replaced(device: Device) -> None:
    first = device.pid
    with pytest.raises(Failed) as caught:
        device.work(ask(1, "crash"), ignore)
    assert (caught.value.failure.fault, caught.value.failure.sentence) == (
        "worker",
        "ZeroDivisionError: division by zero",
    )
    wait_for(lambda: device.ready and device.pid != first)


def test_abandoned_work_is_cancelled_without_losing_the_child(device: Device) -> None:
    def abandon(step: Step | None) -> None:
        raise Abandoned

    first = device.pid
    with pytest.raises(Abandoned):
        device.work(ask(1, "steps"), abandon)
    assert device.work(ask(2), ignore)["scores"]["pid"] == first


def test_abandoned_work_that_does_not_return_is_killed(device: Device) -> None:
    def abandon(step: Step | None) -> None:
        raise Abandoned

    first = device.pid
    began = time.monotonic()
    with pytest.raises(Abandoned):
        device.work(ask(1, "freeze"), abandon)
    assert time.monotonic() - began < 30
    wait_for(lambda: device.ready and device.pid != first)


def test_a_child_that_dies_while_idle_is_replaced_when_looked_at(device: Device) -> None:
    first = device.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: not device.ready)
    device.keep()
    wait_for(lambda: device.ready)
    assert device.pid != first


def test_starts_that_fail_are_not_repeated_at_once() -> None:
    ended = threading.Semaphore(0)
    device = Device((*COMMAND, "never ready"), ended.release)
    device.keep()
    assert ended.acquire(timeout=PATIENCE)
    first = device.pid
    began = time.monotonic()
    wait_for(lambda: (device.keep(), device.pid != first)[1])
    assert ended.acquire(timeout=PATIENCE)
    second = device.pid
    wait_for(lambda: (device.keep(), device.pid != second)[1])
    device.close()
    assert time.monotonic() - began > 2  # the third start waits at least three seconds from the second


def test_closing_ends_the_child(device: Device) -> None:
    pid = device.pid
    assert pid is not None
    device.close()
    assert not is_alive(pid)
    device.keep()
    assert not device.ready


SUPERVISOR = f"""
import sys, time
from workers.runtime import Device
device = Device({COMMAND!r}, lambda: None)
device.keep()
while not device.ready:
    time.sleep(0.01)
print(device.pid, flush=True)
device.work({{"do": "evaluate", "id": 1, "recipe": ["freeze"]}}, lambda step: None)
"""


def test_a_killed_supervisor_leaves_no_child() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR], stdout=subprocess.PIPE, text=True, cwd=BASE_DIR
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert is_alive(child)
        process.kill()
        wait_for(lambda: not is_alive(child))
