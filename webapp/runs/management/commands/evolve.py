"""`./progeny evolve`: a run from a terminal, through the same ledger, workers and engine as the page's."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console

from merging.benchmarks import QuestionFile, scorers
from merging.errors import MergingError
from merging.fidelity import fidelities
from merging.methods import methods
from merging.search import searches
from webapp.accounts.setup import local_user
from webapp.library.actions import add_benchmark, register_parent
from webapp.library.models import Benchmark, Parent
from webapp.runs import actions
from webapp.runs.config import Override
from webapp.runs.console import ProgressLine, leaderboard
from webapp.runs.drafts import PARTS, Draft, DraftError, Measure, plan
from webapp.runs.models import ENDED, Run
from webapp.runs.presets import OWN, PRESETS, Preset, preset
from webapp.runs.presets import Measure as PresetMeasure
from webapp.runs.report import report
from webapp.system.services import ensure_services

POLL_SECONDS: Final = 0.25


class Command(BaseCommand):
    help = "Evolve a merge of parents on a benchmark, from start to final scores, and print the leaderboard."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--preset", choices=sorted(set(PRESETS) - {OWN.name}), help="a run that is filled in already"
        )
        parser.add_argument("--parents", help="names in the library or folders, separated by commas")
        parser.add_argument("--base", help="base model: a name or a folder")
        parser.add_argument(
            "--benchmark", help="names in the library, or files of questions (JSONL or CSV), separated by commas"
        )
        parser.add_argument("--weights", help="how much each benchmark counts, such as 2,1; the same by default")
        parser.add_argument(
            "--scorer", choices=scorers.names(), default="last_number", help="how a file's answers are judged"
        )
        parser.add_argument("--method", choices=methods.names())
        parser.add_argument(
            "--groups", help="model, block, a number of layer groups, or 'gradient 3' for values at 3 depths"
        )
        parser.add_argument(
            "--filters", help=f"parts of tensors' names that get groups of their own, such as self_attn,mlp; or {PARTS}"
        )
        parser.add_argument("--search", choices=searches.names())
        parser.add_argument("--budget", type=int, help="candidates to score on the search questions")
        parser.add_argument("--seed", type=int)
        parser.add_argument(
            "--questions", type=int, help="search questions per candidate and benchmark; all of the split by default"
        )
        parser.add_argument(
            "--fidelity", choices=fidelities.names(), help="how much of the search questions a candidate is asked"
        )
        parser.add_argument("--finalists", type=int, help="how many of the best take the final exam")
        parser.add_argument(
            "--on-public-test-set",
            action="store_true",
            help="search on a public test set all the same; kept with the run",
        )
        parser.add_argument(
            "--random-search", action="store_true", help="launch a random search with the same budget beside it"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of a leaderboard")

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console(stderr=True)
        chosen = _chosen(options)
        with ensure_services(console.print, worker=True):
            run = _launch(chosen, options)
            try:
                _follow(run, ProgressLine(console, run) if console.is_terminal else nullcontext())
            except KeyboardInterrupt:
                actions.stop(run)
                raise CommandError(f"interrupted: run {run.pk} keeps its best candidate") from None
            result = report(run)
        if options["json"]:
            self.stdout.write(json.dumps(result, ensure_ascii=False))
        else:
            Console().print(leaderboard(result))
        if run.state != "done":
            raise CommandError(f"run {run.pk} is {run.state}: {run.message}")


def _chosen(options: dict[str, Any]) -> Preset:
    """The preset with whatever was given on the command line in its place."""
    start = preset(options["preset"]) if options["preset"] else OWN
    names = ("base", "method", "groups", "filters", "search", "budget", "seed", "fidelity")
    given = {name: options[name] for name in names}
    given["parents"] = tuple(options["parents"].split(",")) if options["parents"] else None
    given["n_finalists"] = options["finalists"]
    given["measures"] = _measures(start, options)
    chosen = replace(start, **{name: value for name, value in given.items() if value is not None})
    if not chosen.parents or not chosen.measures:
        raise CommandError("a run needs --parents and --benchmark, or a --preset that has them: " + ", ".join(PRESETS))
    return chosen


def _measures(start: Preset, options: dict[str, Any]) -> tuple[PresetMeasure, ...]:
    """The preset's benchmarks, or those that were named, with the weights and the number of questions that were given."""
    names = options["benchmark"].split(",") if options["benchmark"] else []
    found = tuple(PresetMeasure(name) for name in names) or start.measures
    weights = options["weights"].split(",") if options["weights"] else [measure.weight for measure in found]
    try:
        weighted = [replace(measure, weight=float(w)) for measure, w in zip(found, weights, strict=True)]
    except ValueError as error:
        raise CommandError(
            f"--weights is {options['weights']!r}; expected {len(found)} numbers, one for each benchmark, separated by commas"
        ) from error
    n = options["questions"]
    return tuple(replace(measure, n_search=n) if n is not None else measure for measure in weighted)


def _launch(chosen: Preset, options: dict[str, Any]) -> Run:
    owner = local_user()
    override = Override(owner.get_username(), timezone.now().isoformat(timespec="seconds"))
    try:
        planned = plan(
            Draft(
                parents=tuple(_parent(owner, name) for name in chosen.parents),
                base=_parent(owner, chosen.base) if chosen.base else None,
                measures=tuple(_measure(owner, measure, options["scorer"]) for measure in chosen.measures),
                method=chosen.method,
                groups=chosen.groups,
                filters=chosen.filters,
                search=chosen.search,
                budget=chosen.budget,
                seed=chosen.seed,
                population_size=chosen.population_size,
                n_finalists=chosen.n_finalists,
                fidelity=chosen.fidelity,
                override=override if options["on_public_test_set"] else None,
            )
        )
    except (DraftError, MergingError) as error:
        raise CommandError(str(error)) from error
    name = chosen.title if chosen is not OWN else planned.sentence[:200]
    return actions.launch(owner, planned.config, name, with_random_search=options["random_search"])


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
