"""`./progeny fetch TASK`: a task of lm-eval's harness, or the paper's own questions, as a benchmark.

Also what a worker starts for a request of the page.
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from merging.benchmarks.paper import NAME, paper_questions
from merging.errors import BenchmarkError, MergingError
from merging.harness.index import Index, make_index
from webapp.accounts.setup import local_user
from webapp.env import add_data_option
from webapp.library import fetches
from webapp.library.actions import keep_questions
from webapp.library.models import Benchmark
from webapp.system.services import ensure_services


class Command(BaseCommand):
    help = "Fetch a task of lm-eval's harness and freeze it as a benchmark; without a task, list those that can be one."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_data_option(parser)
        parser.add_argument(
            "task",
            nargs="?",
            default="",
            metavar="TASK",
            help=f"a name such as gsm8k; or {NAME}, the paper's questions",
        )
        parser.add_argument("--list", action="store_true", help="only list the tasks whose names begin with TASK")
        parser.add_argument("--metric", help="which of its metrics is the score; the first by default")
        parser.add_argument("--seed", type=int, default=0, help="deals the splits (0)")
        parser.add_argument(
            "--from", dest="folder", type=Path, metavar="FOLDER", help=f"where copies of the data sets of {NAME} lie"
        )
        parser.add_argument("--request", type=int, nargs=2, metavar=("ID", "TOKEN"), help="for workers")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["request"]:
            fetches.carry_out(*options["request"])
            return
        try:
            with ensure_services(self.stderr.write):
                if options["list"] or not options["task"]:
                    self.stdout.writelines(_listed(_known(), options["task"]))
                else:
                    row = _paper(options["folder"]) if options["task"] == NAME else _task(options)
                    sizes = f"{row.n_search} search, {row.n_validation} validation, {row.n_final} final questions"
                    self.stdout.write(f"{row.title} can be chosen now: {sizes}.")
        except (MergingError, OSError) as error:
            raise CommandError(str(error)) from error


def _known() -> Index:
    return fetches.known_tasks() or make_index(fetches.index_folder())


def _listed(known: Index, beginning: str) -> list[str]:
    """What can be a benchmark, with its metrics."""
    entries = [entry for name, entry in known.entries.items() if name.startswith(beginning) and not entry.refusal]
    return [f"{entry.name}  {' '.join(entry.metrics)}\n" for entry in entries]


def _task(options: dict[str, Any]) -> Benchmark:
    task = options["task"]
    metric = options["metric"] or _known().get(task).metrics[0]
    return fetches.fetch(local_user(), task, metric, options["seed"])


def _paper(folder: Path | None) -> Benchmark:
    if folder is None:
        raise BenchmarkError(f"{NAME} is read from copies of its data sets: say with --from in which folder they lie")
    return keep_questions(local_user(), paper_questions(folder), is_public_test=True)
