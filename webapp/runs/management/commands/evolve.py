"""`./progeny evolve`: a run from a terminal, through the same ledger, workers and engine as the page's."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console

from merging.benchmarks import QuestionFile
from merging.errors import MergingError
from webapp.accounts.setup import local_user
from webapp.env import add_data_option
from webapp.library.actions import add_benchmark, register_parent
from webapp.library.models import Benchmark, Parent
from webapp.lineage.actions import launch_both
from webapp.lineage.models import Sequel
from webapp.runs import actions
from webapp.runs.config import Override
from webapp.runs.console import ProgressLine, leaderboard
from webapp.runs.launching.evolve_options import add_options, preset_of
from webapp.runs.launching.named import Names, plan_named
from webapp.runs.launching.presets import Preset
from webapp.runs.launching.problems import DraftError
from webapp.runs.models import ENDED, Run
from webapp.runs.report import Report, report
from webapp.system.services import ensure_services

POLL_SECONDS: Final = 0.25


class Command(BaseCommand):
    help = "Evolve a merge of parents on a benchmark, from start to final scores, and print the leaderboard."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_data_option(parser)
        add_options(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console(stderr=True)
        chosen = preset_of(options)
        with ensure_services(self.stderr.write, worker=True):
            run = _launch(chosen, options)
            reports = [_followed(run, console)]
            if chosen.space == "both":
                run = _next(run, console)
                reports.append(_followed(run, console))
        if options["json"]:
            told = dict(zip(("numbers", "path"), reports, strict=True)) if chosen.space == "both" else reports[0]
            self.stdout.write(json.dumps(told, ensure_ascii=False))
        else:
            for found in reports:
                Console().print(leaderboard(found))
        if run.state != "done":
            raise CommandError(f"run {run.pk} is {run.state}: {run.message}")


def _followed(run: Run, console: Console) -> Report:
    """The report of a run that was followed to its end."""
    try:
        _follow(run, ProgressLine(console, run) if console.is_terminal else nullcontext())
    except KeyboardInterrupt:
        actions.stop(run)
        raise CommandError(f"interrupted: run {run.pk} keeps its best candidate") from None
    return report(run)


def _next(first: Run, console: Console) -> Run:
    """The run that follows `first` by itself, as soon as its model A is built."""
    if first.state != "done":
        raise CommandError(f"run {first.pk} is {first.state}, so the run over paths does not follow: {first.message}")
    console.print("The winner is built, then the run over paths follows.")
    while (sequel := Sequel.objects.get(first=first)).run is None:
        if sequel.state == "called off":
            raise CommandError("the run over paths was called off")
        if sequel.state == "failed":
            raise CommandError(f"the run over paths could not be launched: {sequel.reason}")
        time.sleep(POLL_SECONDS)
    return sequel.run


def _launch(chosen: Preset, options: dict[str, Any]) -> Run:
    owner = local_user()
    override = Override(owner.get_username(), timezone.now().isoformat(timespec="seconds"))
    names = Names(partial(_parent, owner), partial(_benchmark, owner, options["scorer"]))
    if options["fidelity"] is not None:  # the preset's settings are of its own
        chosen = replace(chosen, fidelity_settings=())
    try:
        planned, follows = plan_named(chosen, names, override if options["on_public_test_set"] else None)
    except (DraftError, MergingError) as error:
        raise CommandError(str(error)) from error
    name = chosen.title if options["preset"] else planned.name
    try:
        if follows:
            return launch_both(owner, planned.config, follows.config, name, uuid4().hex, options["random_search"])
        return actions.launch(owner, planned.config, name, with_random_search=options["random_search"])
    except MergingError as error:
        raise CommandError(str(error)) from error


def _parent(owner: User, name: str) -> Parent:
    """The library's row of that name, or of that folder, which is registered when it is new."""
    row = Parent.objects.visible_to(owner).filter(name=name).first()
    return row or register_parent(owner, Path(name))


def _benchmark(owner: User, scorer: str, name: str) -> Benchmark:
    """The library's row of that name, or of that file, which is added when it is new. Its splits do not depend on the run's seed."""
    row = Benchmark.objects.visible_to(owner).filter(name=name).first()
    return row or add_benchmark(owner, QuestionFile(str(Path(name).absolute()), scorer=scorer, seed=0))


def _follow(run: Run, line: ProgressLine | nullcontext[None]) -> None:
    """Return when the run has ended, or has paused by itself."""
    with line as shown:
        while run.state not in (*ENDED, "paused"):
            time.sleep(POLL_SECONDS)
            run.refresh_from_db()
            if shown:
                shown.update(run)
