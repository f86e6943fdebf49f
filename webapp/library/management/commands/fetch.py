"""`./progeny fetch TASK`: a task of lm-eval's harness as a benchmark. Also what a worker starts for a request of the page."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from merging.errors import MergingError
from merging.harness.index import make_index
from webapp.accounts.setup import local_user
from webapp.library import fetches
from webapp.system.services import ensure_services


class Command(BaseCommand):
    help = "Fetch a task of lm-eval's harness and freeze it as a benchmark; without a task, list those that can be one."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "task", nargs="?", metavar="TASK", help="a name such as gsm8k; the beginning of names to list"
        )
        parser.add_argument("--metric", help="which of its metrics is the score; the first by default")
        parser.add_argument("--seed", type=int, default=0, help="deals the splits (0)")
        parser.add_argument("--list", action="store_true", help="list the tasks whose names begin with TASK")
        parser.add_argument("--request", type=int, nargs=2, metavar=("ID", "TOKEN"), help="for workers")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["request"]:
            fetches.carry_out(*options["request"])
            return
        task = options["task"] or ""
        try:
            with ensure_services(self.stderr.write):
                known = fetches.known_tasks() or make_index(fetches.index_folder())
                if options["list"] or not task:
                    for entry in known.entries.values():
                        if entry.name.startswith(task) and not entry.refusal:
                            self.stdout.write(f"{entry.name}  {' '.join(entry.metrics)}")
                    return
                metric = options["metric"] or known.get(task).metrics[0]
                row = fetches.fetch(local_user(), task, metric, options["seed"])
        except (MergingError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{row.title} can be chosen now: {row.n_search} search, {row.n_validation} validation, {row.n_final} final."
        )
