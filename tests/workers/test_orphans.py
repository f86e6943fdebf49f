"""Whatever a worker has started ends with it, also when it is killed before that has begun to look after itself."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from merging.finished.children import run_apart
from tests.conftest import is_alive, wait_for
from tests.workers.conftest import FORK
from webapp.library.models import Fetch
from workers.aside import Aside, Errand
from workers.ledger.aside import Requests
from workers.ledger.claims import Lease
from workers.runtime import Device

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells processes of their parent's death")


@dataclass(frozen=True)
class OneRequest:
    """Something to do aside, without a database."""

    def claim(self, worker: str) -> Lease:
        return Lease(Fetch, 1, 1)


def start_aside(command: Sequence[str]) -> None:
    Aside("worker", Errand(cast(Requests, OneRequest()), lambda lease: command)).look()


def start_device(command: Sequence[str]) -> None:
    Device(command, lambda: None).keep()


def start_apart(command: Sequence[str]) -> None:
    threading.Thread(target=run_apart, args=(command, "", 60, lambda: None, {}), daemon=True).start()


@pytest.mark.parametrize("start", [start_aside, start_device, start_apart])
def test_a_process_of_a_killed_worker_ends_whatever_it_does(
    start: Callable[[Sequence[str]], None], tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    deaf = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    worker = FORK.Process(target=lambda: (start((sys.executable, "-c", deaf)), signal.pause()))
    worker.start()
    wait_for(lambda: pid.exists() and pid.read_text() != "", "it has been started")
    os.kill(worker.pid or 0, signal.SIGKILL)
    worker.join()
    wait_for(lambda: not is_alive(int(pid.read_text())), "it has ended")
