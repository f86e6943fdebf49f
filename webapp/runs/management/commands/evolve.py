"""`./progeny evolve`: a run from a terminal, through the same ledger, workers and engine as the page's."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from contextlib import nullcontext
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
from webapp.library.actions import add_benchmark, register_parent
from webapp.library.models import Benchmark, Parent
from webapp.lineage.actions import launch_both
from webapp.lineage.models import Sequel
from webapp.quotas import QuotaError
from webapp.runs import actions
from webapp.runs.config import Override
from webapp.runs.console import ProgressLine, leaderboard
from webapp.runs.launching.drafts import Draft, PathDraft, path_draft, plan_spaces
from webapp.runs.launching.evolve_options import add_options, preset_of
from webapp.runs.launching.measures import Measure
from webapp.runs.launching.presets import Measure as PresetMeasure
from webapp.runs.launching.presets import Preset
from webapp.runs.launching.problems import DraftError
from webapp.runs.models import ENDED, Run
from webapp.runs.report import Report, report
from webapp.system.services import ensure_services

POLL_SECONDS: Final = 0.25


class Command(BaseCommand):
    help = "Evolve a merge of parents on a benchmark, from start to final scores, and print the leaderboard."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_options(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console(stderr=True)
        chosen = preset_of(options)
        with ensure_services(console.print, worker=True):
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
    try:
        planned, follows = plan_spaces(
            chosen.space, lambda: _numbers(owner, chosen, options), lambda: _paths(owner, chosen, options)
        )
    except (DraftError, MergingError) as error:
        raise CommandError(str(error)) from error
    name = chosen.title if options["preset"] else planned.name
    try:
        if follows:
            return launch_both(owner, planned.config, follows.config, name, uuid4().hex, options["random_search"])
        return actions.launch(owner, planned.config, name, with_random_search=options["random_search"])
    except QuotaError as error:
        raise CommandError(str(error)) from error


def _numbers(owner: User, chosen: Preset, options: dict[str, Any]) -> Draft:
    return Draft(
        parents=tuple(_parent(owner, name) for name in chosen.parents),
        base=_parent(owner, chosen.base) if chosen.base else None,
        method=chosen.method,
        groups=chosen.groups,
        filters=chosen.filters,
        search=chosen.search,
        settings=dict(chosen.settings),
        budget=chosen.budget,
        population_size=chosen.population_size,
        tokenizer=chosen.tokenizer,
        **_shared(owner, chosen, options),
    )


def _paths(owner: User, chosen: Preset, options: dict[str, Any]) -> Draft:
    """Of both, model B alone: model A is the winner."""
    path = chosen.path
    names = (path.model_b,) if chosen.space == "both" else (path.model_a, path.model_b)
    return path_draft(
        [_parent(owner, name) for name in names if name],
        PathDraft(path.repeats, path.scales, path.max_hops, path.p_others),
        search=path.search,
        budget=path.budget,
        population_size=path.population_size,
        **_shared(owner, chosen, options),
    )


def _shared(owner: User, chosen: Preset, options: dict[str, Any]) -> dict[str, Any]:
    override = Override(owner.get_username(), timezone.now().isoformat(timespec="seconds"))
    return {
        "measures": tuple(_measure(owner, measure, options["scorer"]) for measure in chosen.measures),
        "seed": chosen.seed,
        "n_finalists": chosen.n_finalists,
        "fidelity": chosen.fidelity,
        "fidelity_settings": dict(chosen.fidelity_settings) if options["fidelity"] is None else {},
        "override": override if options["on_public_test_set"] else None,
    }


def _measure(owner: User, wanted: PresetMeasure, scorer: str) -> Measure:
    row = _benchmark(owner, wanted.benchmark, scorer)
    return Measure(row, wanted.weight, wanted.n_search, wanted.n_validation, wanted.n_final)


def _parent(owner: User, name: str) -> Parent:
    """The library's row of that name, or of that folder, which is registered when it is new."""
    row = Parent.objects.visible_to(owner).filter(name=name).first()
    return row or register_parent(owner, Path(name))


def _benchmark(owner: User, name: str, scorer: str) -> Benchmark:
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
