"""`./progeny results RUN OUT`: what the winner scored on tasks of lm-eval, in lm-eval's own format.

Whoever has this terminal has the server: any run is found, whosever it is.
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from merging.errors import MergingError
from webapp.env import add_data_option
from webapp.runs import harness_results
from webapp.runs.config import RunConfig
from webapp.runs.models import Candidate, Run
from webapp.system.services import ensure_services


class Command(BaseCommand):
    help = "Write what a candidate scored on tasks of lm-eval as lm-eval writes it, from what is stored."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_data_option(parser)
        parser.add_argument("run", type=UUID, metavar="RUN", help="a run's id, which ends the address of its page")
        parser.add_argument(
            "candidate", nargs="?", default="", metavar="CANDIDATE", help="a name such as g3.7; the winner by default"
        )
        parser.add_argument("out", type=Path, metavar="OUT", help="a folder; each split gets a folder of its own in it")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with ensure_services(self.stderr.write):
                run = _run(options["run"])
                self._write(run, _candidate(run, options["candidate"]), options["out"])
        except (MergingError, OSError) as error:
            raise CommandError(str(error)) from error

    def _write(self, run: Run, candidate: Candidate, out: Path) -> None:
        others = _others(run)
        found = list(harness_results.scored_tasks(run, candidate))
        if not found:
            raise CommandError(others or f"{candidate.name} has no scores yet")
        for scored in found:
            for path in harness_results.write(run, candidate, scored, out / scored.split):
                self.stdout.write(f"{scored.benchmark}, {scored.split}: {path}")
        if run.examined is None:
            self.stdout.write("The final split is not among them: the final exam has not been held.")
        if others:
            self.stdout.write(others)


def _run(pk: UUID) -> Run:
    run = Run.objects.filter(pk=pk, deleted_at=None).first()
    if run is None:
        raise CommandError(f"there is no run {pk}: expected the id that ends the address of a run's page")
    return run


def _candidate(run: Run, name: str) -> Candidate:
    if not name and run.winner is None:
        raise CommandError(f"run {run.pk} has no winner yet: name a candidate, such as g0.0, before the folder")
    candidate = run.candidates.filter(name=name).first() if name else run.winner
    if candidate is None:
        raise CommandError(f"run {run.pk} has no candidate {name!r}: expected a name on its leaderboard")
    return candidate


def _others(run: Run) -> str:
    """Which benchmarks cannot be written, and where their scores are."""
    specs = [objective.spec for objective in RunConfig.from_json(run.config).objectives]
    names = [spec.name for spec in specs if not spec.harness]
    if not names:
        return ""
    are = "is no task" if len(names) == 1 else "are no tasks"
    return (
        f"{', '.join(names)} {are} of lm-eval, whose format is for its own tasks: the candidate's page and "
        "`./progeny evolve --json` have those scores."
    )
