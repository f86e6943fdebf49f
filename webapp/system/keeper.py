"""The instance behind commands that need the services while no studio runs: it ends when the last such command has ended."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from webapp.env import create_data_folder, data_folder
from webapp.system.instance import Instance
from webapp.system.locks import FileLock, is_held
from webapp.system.processes import wait_until
from webapp.system.programs import worker_is_ready
from webapp.system.supervisor import Member, Supervisor

WORKER_START_SECONDS: Final = 120.0


class Keeper(Supervisor):
    """Serves commands. It has no address, and workers only if a command asks for one."""

    def __init__(self, data: Path, users: FileLock, say: Callable[[str], None]) -> None:
        super().__init__(data, say)
        self._users = users

    def members(self) -> list[Member]:
        return self.workers

    def steps(self) -> list[Callable[[], None]]:
        before = [self.start_queue, self.start_database, self._prepare_database]
        return [*before, self._start_workers_if_asked, self._publish]

    def turn(self) -> None:
        """End when nobody uses the services any more; the lock is kept until they have stopped, so that a newcomer waits."""
        if self._users.take():
            self.stopping = True
        elif not self.workers:
            self._start_workers_if_asked()
            self._publish()

    def _prepare_database(self) -> None:
        self.prepare_database()

    def _start_workers_if_asked(self) -> None:
        """Ready means that the workers are ready: one that cannot start is an error for the command that waits for it."""
        if is_held(self.data / "workers.lock"):
            self.launch_workers()
            for child in [worker.child for worker in self.workers]:
                wait_until(partial(worker_is_ready, child), child, WORKER_START_SECONDS, self.interrupted)

    def _publish(self) -> None:
        Instance(pid=os.getpid(), url="", n_workers=self.n_ready_workers()).publish(self.data)


def main() -> None:
    """What `webapp.system.services` starts."""
    data = data_folder()
    create_data_folder(data)
    Keeper(data, FileLock(data / "users.lock"), lambda line: print(line, flush=True)).run()
