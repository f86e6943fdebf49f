"""Worker processes of a scenario: started, killed, frozen and woken by name. What they do is real but for the device."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from multiprocessing.context import ForkProcess
from pathlib import Path

from tests.chaos.device import key
from tests.ledger.scores import score
from tests.ledger.shares import N_SAMPLES
from tests.workers import fake_worker
from webapp.runs.models import Candidate, Run

FORK = multiprocessing.get_context(
    "fork"
)  # a program that is started anew needs seconds to import what is here already
_TRAPPED = re.compile(r"^failpoint (\w+): (\w+)$", re.MULTILINE)
SPLITS = ("search", "validation", "final")


class Crew:
    """Every life of a worker has a number; its log is kept. `plan` is what the devices do that are started from then on."""

    def __init__(self, folder: Path) -> None:
        self.workers: dict[str, ForkProcess] = {}
        self._folder = folder / "crew"
        self._folder.mkdir()
        self._plan = folder / "table.json"
        self._n_lives = 0
        self.plan()

    def plan(self, slowest: float = 0.09, bad: float = 0.0, dying: float = 0.0, **trouble: str) -> None:
        """`slowest` is how long the slowest candidate takes, in seconds; `trouble` what goes wrong with candidates, by their names in the
        newest run: bad or slow.
        """
        answers = {split: [score(split, n / N_SAMPLES).to_json() for n in range(N_SAMPLES + 1)] for split in SPLITS}
        troubled = {key(_named(name).recipe): what for name, what in trouble.items()}
        plan = {"answers": answers, "slowest": slowest, "bad": bad, "dying": dying, "trouble": troubled}
        self._plan.write_text(json.dumps(plan))

    def start(self, name: str, traps: str = "", prepare: Callable[[], None] = lambda: None) -> ForkProcess:
        """A worker of this name, whatever became of the last one. `traps` are as FAILPOINTS has them."""
        self._n_lives += 1
        log = self._folder / f"{self._n_lives:04d}-{name}.log"
        device = (sys.executable, "-m", "tests.chaos.device", str(self._plan))
        process = FORK.Process(target=fake_worker.run_forked, args=(name, device, traps, log, prepare))
        process.start()
        self.workers[name] = process
        return process

    def kill(self, name: str) -> None:
        """As `kill -9`; nothing of it runs when this returns."""
        self.workers[name].kill()
        self.workers[name].join()

    def kill_device(self, name: str) -> bool:
        """The device process alone. False when there is none at the moment."""
        pids = children(self.workers[name])
        for pid in pids:
            _signal(pid, signal.SIGKILL)
        return bool(pids)

    def freeze(self, name: str) -> None:
        """Stop it where it is, until it is woken."""
        _signal(pid_of(self.workers[name]), signal.SIGSTOP)

    def wake(self, name: str) -> None:
        """Let it go on."""
        _signal(pid_of(self.workers[name]), signal.SIGCONT)

    def is_frozen(self, name: str) -> bool:
        """Whether it was stopped, by `freeze` or by a trap."""
        try:
            return Path(f"/proc/{pid_of(self.workers[name])}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        except FileNotFoundError:
            return False

    def dead(self) -> list[str]:
        """Names of those that have ended."""
        return [name for name, process in self.workers.items() if not process.is_alive()]

    def end(self) -> None:
        """Kill all of them."""
        for name in self.workers:
            self.kill(name)

    def trapped(self) -> Counter[tuple[str, str]]:
        """How often each point's trap was sprung: (point, action)."""
        return Counter(found for log in self._logs() for found in _TRAPPED.findall(log))

    def tracebacks(self) -> list[str]:
        """What its workers did not expect, in their own words."""
        return [log[log.index("Traceback") :][:4000] for log in self._logs() if "Traceback" in log]

    def _logs(self) -> Iterable[str]:
        return [path.read_text(errors="replace") for path in sorted(self._folder.iterdir())]


def _named(name: str) -> Candidate:
    return Run.objects.latest("created").candidates.get(name=name.replace("_", "."))


def pid_of(process: ForkProcess) -> int:
    assert process.pid is not None
    return process.pid


def children(process: ForkProcess) -> list[int]:
    """All that it started."""
    return children_of(pid_of(process))


def children_of(pid: int) -> list[int]:
    """Threads start children, so every thread's are asked for; none of a process that has ended."""
    try:
        lists = list(Path(f"/proc/{pid}/task").glob("*/children"))
        return [int(pid) for found in lists for pid in found.read_text().split()]
    except FileNotFoundError:
        return []


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
