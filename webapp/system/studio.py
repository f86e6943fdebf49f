"""The instance behind `./progeny up`: services, workers and the web server until Ctrl-C. Knows how the house is run, not what it does."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from webapp.env import GATE, data_folder, make_gate
from webapp.system.embedded import create_socket_folder
from webapp.system.instance import Instance, leave_note
from webapp.system.processes import wait_until
from webapp.system.programs import Address, web_command, worker_has_loaded
from webapp.system.supervisor import Member, Supervisor

WEB_START_SECONDS: Final = 120.0


class Studio(Supervisor):
    """Serves people at an address, and workers of other hosts at `workers_at` when that is given."""

    def __init__(self, data: Path, address: Address, say: Callable[[str], None], workers_at: str = "") -> None:
        super().__init__(data, say)
        self.workers_at = workers_at
        self._address = address
        self._web: list[Member] = []
        self._published: Instance | None = None
        self._started = time.time()
        self._loaded: set[int] = set()
        self._first_steps = ""

    def steps(self) -> list[Callable[[], None]]:
        """The web server loads its code meanwhile: two of three seconds of a start are that."""
        before = [self._say_where, self._address.check_free, self._open_gate, self.start_queue, self._launch_web]
        return [*before, self.start_database, self._prepare_database, self.launch_workers, self._welcome]

    def members(self) -> list[Member]:
        return [*self._web, *self.workers]

    def turn(self) -> None:
        """Keep what it says of itself true."""
        said = Instance(os.getpid(), self._address.url, self.n_ready_workers(), self._started, self.workers_at)
        if said != self._published:
            said.publish(self.data)
            self._published = said
        for worker in self.workers:
            if worker.child.pid not in self._loaded and worker_has_loaded(worker.child):
                self._loaded.add(worker.child.pid)
                self.report(f"{worker.command.name} ready")

    def _say_where(self) -> None:
        leave_note(self.data, create_socket_folder(self.data))
        self.say(f"Data folder: {self.data}")

    def _open_gate(self) -> None:
        if self.workers_at:
            opened = make_gate(self.data, self.workers_at)
            for port in (opened.database_port, opened.redis_port):
                Address(self.workers_at, port).check_free(
                    f"Remove {self.data / GATE} for others: workers then join anew"
                )

    def _launch_web(self) -> None:
        self._web = [self.launch(web_command(self._address))]

    def _prepare_database(self) -> None:
        self._first_steps = self.prepare_database(self._address.url)

    def _welcome(self) -> None:
        """The page is there before the workers are."""
        if wait_until(self._address.answers, self._web[0].child, WEB_START_SECONDS, self.interrupted):
            self.report("web server")
            self.turn()
            if self.workers_at:
                self.say(f"Workers of other hosts may join at {self.workers_at}: ./progeny invite says how")
            self.say(
                f"\n{self._first_steps or f'Progeny is at {self._address.url}/'}\nCtrl-C stops it; everything is kept in {self.data}"
            )


def main(arguments: list[str]) -> None:
    """`./progeny up`."""
    parser = argparse.ArgumentParser(prog="./progeny up", description="Run Progeny on this machine, until Ctrl-C.")
    parser.add_argument("--port", type=int, default=8000, metavar="N", help="the web server's port (8000)")
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="H", help="where it listens; 0.0.0.0 for everyone (127.0.0.1)"
    )
    parser.add_argument("--data", metavar="DIR", help="where everything is kept (data)")
    parser.add_argument(
        "--workers-at",
        default="",
        metavar="ADDRESS",
        help="an address of this machine in a private network where workers on other hosts may join; see docs/workers.md",
    )
    chosen = parser.parse_args(arguments)
    address = Address(chosen.host, chosen.port)
    Studio(data_folder(), address, lambda line: print(line, flush=True), chosen.workers_at).run()
