"""What every instance does: hold the data folder, start services, watch children, stop all of it in reverse.

Signals only set a flag, which every wait looks at: whenever Ctrl-C comes, and however often, what was started is stopped in order.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from webapp.env import SetupError, create_data_folder, gate, socket_folder
from webapp.system import instance
from webapp.system.embedded import Postgres, Valkey, create_socket_folder
from webapp.system.processes import Child, Command, run
from webapp.system.programs import WARNING, prepare_command, worker_commands, worker_is_ready

WATCH_SECONDS: Final = 0.1
RESTART_SECONDS: Final = (1, 2, 5, 15, 30)
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class Member:
    """A program that is started again when it ends. `restart_at` is set while it waits for that."""

    command: Command
    child: Child
    n_failures: int = 0
    restart_at: float | None = None
    is_ready: bool = False


class Supervisor(ABC):
    """One instance on one data folder. Subclasses say what runs beside the services, and until when."""

    def __init__(self, data: Path, say: Callable[[str], None]) -> None:
        self.data = data
        self.say = say
        self.stopping = False
        self.workers_at = ""
        """An address on which the embedded services listen for workers of other hosts."""
        self.workers: list[Member] = []
        self._began = time.monotonic()
        self._services: list[Child] = []

    @abstractmethod
    def steps(self) -> list[Callable[[], None]]:
        """What to do to start, in order; nothing more of it once a stop is asked for."""

    @abstractmethod
    def turn(self) -> None:
        """Look after it; called ten times a second."""

    @abstractmethod
    def members(self) -> list[Member]:
        """What to start again when it ends, in the order in which to stop it."""

    def run(self) -> None:
        """Start, serve until told to stop, stop. Returns after a stop that was asked for; SetupError when it could not go on."""
        _on_stop_signals(self._on_signal)
        create_data_folder(self.data)
        instance.claim(self.data)  # until this process has ended: who waits for the one waits for the other
        try:
            for step in self.steps():
                if not self.stopping:
                    step()
            while not self.stopping:
                self._look_after_services()
                self._look_after(self.members())
                self.turn()
                time.sleep(WATCH_SECONDS)
        finally:
            self._stop()
            _on_stop_signals(
                signal.SIG_IGN
            )  # one more Ctrl-C while Python itself ends would make an error of a good end

    def start_queue(self) -> None:
        """The embedded Valkey, unless REDIS_URL names another."""
        if not os.environ.get("REDIS_URL"):
            sockets = create_socket_folder(self.data)
            self._services.append(
                Valkey(sockets, gate(self.data), self.workers_at).start(self._log("valkey"), self.interrupted)
            )
            self.report("queue")

    def start_database(self) -> None:
        """The embedded Postgres, unless DATABASE_URL names another."""
        if not os.environ.get("DATABASE_URL"):
            sockets = create_socket_folder(self.data)
            child = Postgres(self.data, sockets, address=self.workers_at).start(self._log("postgres"), self.interrupted)
            self._services += [child] if child else []
            self.report("database")

    def prepare_database(self, url: str = "") -> str:
        """Tables and demo pack, by a program of its own, whose warnings are passed on. Returns how to sign in for the first time."""
        done = run(prepare_command(url), self._log("prepare"), self.interrupted)
        if done.exit_code() != 0 and not self.stopping:
            raise SetupError(f"{done.last_words().removeprefix('progeny: ').rstrip('.')} (see {done.log})")
        self.report("tables and demo pack")
        said = done.written().splitlines()
        for line in said:
            if line.startswith(WARNING):
                self.say(line)
        return next((line for line in reversed(said) if line.strip() and not line.startswith(WARNING)), "")

    def interrupted(self) -> bool:
        return self.stopping

    def report(self, name: str) -> None:
        """One line of progress, with the seconds since the start."""
        if not self.stopping:
            self.say(f"  {name:<24}{time.monotonic() - self._began:5.1f} s")

    def launch(self, command: Command) -> Member:
        """Start a program that writes to a log of its own name; SetupError while the data folder is half restored."""
        instance.check_restored(self.data)
        return Member(command, Child(command, self._log(command.name)))

    def launch_workers(self) -> None:
        """One for each device."""
        self.workers = [self.launch(command) for command in self.worker_commands()]

    def worker_commands(self) -> list[Command]:
        """What runs them."""
        return worker_commands()

    def n_ready_workers(self) -> int:
        """How many have said that they take work."""
        for worker in self.workers:
            worker.is_ready = worker.is_ready or worker_is_ready(worker.child)
        return sum(worker.is_ready for worker in self.workers)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def _look_after_services(self) -> None:
        for child in self._services:
            if child.exit_code() is not None:
                raise SetupError(f"{child.command.name} ended by itself: {child.last_words()} (see {child.log})")

    def _look_after(self, members: Iterable[Member]) -> None:
        """Start again what has ended: at once the first time, later and later when it keeps ending."""
        now = time.monotonic()
        for member in members:
            if member.restart_at is None and (code := member.child.exit_code()) is not None:
                member.child.stop()
                wait = RESTART_SECONDS[min(member.n_failures, len(RESTART_SECONDS) - 1)]
                member.n_failures, member.restart_at, member.is_ready = member.n_failures + 1, now + wait, False
                self.say(
                    f"{member.command.name} ended (exit code {code}); it starts again in {wait} s. See {member.child.log}"
                )
            elif member.restart_at is not None and now >= member.restart_at:
                member.child, member.restart_at = Child(member.command, member.child.log), None

    def _stop(self) -> None:
        """Programs before services, and the last started service first. Programs end side by side."""
        instance.withdraw(self.data)
        children = [member.child for member in self.members()]
        for child in children:
            child.ask_to_end()
        for child in (*children, *reversed(self._services)):
            child.stop()
        shutil.rmtree(socket_folder(self.data), ignore_errors=True)

    def _log(self, name: str) -> Path:
        folder = self.data / "logs"
        folder.mkdir(exist_ok=True)
        return folder / f"{name}.log"


def _on_stop_signals(action: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, action)
