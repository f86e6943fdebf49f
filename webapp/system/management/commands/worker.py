"""One worker alone, for services that are run by somebody else: containers, more machines with GPUs."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from webapp.env import add_data_option
from webapp.system import servers
from webapp.system.instance import check_restored
from webapp.system.locks import FileLock
from webapp.system.processes import Command as Program
from webapp.system.programs import worker_commands

WAIT_SECONDS = 2.0


class Command(BaseCommand):
    help = "Run one worker alone, with DATABASE_URL and REDIS_URL, on a device that no other such worker has. `up` runs one for each."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        add_data_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        check_restored(settings.DATA_DIR)
        self.stderr.write(f"Data folder: {settings.DATA_DIR}")
        servers.check_at_start(self.stderr.write)
        program, lock = self._free_device()
        lock.keep_over_exec()
        program.become()

    def _free_device(self) -> tuple[Program, FileLock]:
        """The first device whose lock is free; waits for one. The lock is the worker's for its life."""
        programs = worker_commands()
        said = False
        while True:
            for program in programs:
                lock = FileLock(settings.DATA_DIR / "devices" / f"{program.name}.lock")
                if lock.take():
                    return program, lock
                lock.release()
            if not said:
                self.stdout.write(f"Every device has a worker ({len(programs)}); waiting for one to become free.")
                said = True
            time.sleep(WAIT_SECONDS)
