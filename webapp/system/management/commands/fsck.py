"""`./progeny fsck`: do the database and the files of the data folder tell the same?"""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from webapp.env import add_data_option
from webapp.logs import escaped
from webapp.system import fsck
from webapp.system.services import ensure_services


class Command(BaseCommand):
    help = "Compare the database with the files, and check the ledger. Changes nothing without --repair. Exit code 1 for problems."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        add_data_option(parser)
        parser.add_argument("--hash", action="store_true", help="read every file in full: is it still what it was?")
        parser.add_argument("--repair", action="store_true", help="mend what can be mended without losing anything")

    def handle(self, *args: Any, **options: Any) -> None:
        with ensure_services(self.stderr.write):
            n_left = sum(self._look_at(problem, options["repair"]) for problem in fsck.problems(options["hash"]))
        if n_left:
            sys.exit(1)
        self.stdout.write("Everything is as it should be.")

    def _look_at(self, problem: fsck.Problem, repair: bool) -> bool:
        """Say it, and mend it if that is asked for and possible. False when it is mended."""
        self.stdout.write(escaped(str(problem)))
        if problem.repair is None:
            self.stdout.write(f"    {problem.remedy}")
            return True
        if not repair:
            self.stdout.write(f"    --repair would {problem.remedy}")
            return True
        problem.repair()
        self.stdout.write(f"    done: {problem.remedy}")
        return False
