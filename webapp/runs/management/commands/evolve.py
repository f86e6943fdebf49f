"""`./progeny evolve`: a run from a terminal, through the same ledger, workers and engine as the page's."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console

from merging.benchmarks import QuestionFile, scorers
from merging.errors import MergingError
from merging.fidelity import fidelities
from merging.methods import methods
from merging.path_genomes import SCALES
from merging.recipes import TOKENIZERS
from merging.search import searches
from webapp.accounts.setup import local_user
from webapp.library.actions import add_benchmark, register_parent
from webapp.library.models import Benchmark, Parent
from webapp.lineage.actions import launch_both
from webapp.lineage.models import Sequel
from webapp.quotas import QuotaError
from webapp.runs import actions
from webapp.runs.config import Override
from webapp.runs.console import ProgressLine, leaderboard
from webapp.runs.drafts import PARTS, Draft, PathDraft, path_draft, plan_spaces
from webapp.runs.measures import Measure
from webapp.runs.models import ENDED, Run
from webapp.runs.presets import OWN, PRESETS, SPACES, PathPreset, Preset, Spaces, preset
from webapp.runs.presets import Measure as PresetMeasure
from webapp.runs.problems import DraftError
from webapp.runs.report import Report, report
from webapp.system.services import ensure_services

POLL_SECONDS: Final = 0.25
OF_NUMBERS: Final = ("base", "tokenizer", "method", "groups", "filters", "search", "budget")
OF_PATH: Final = (
    "path_model_b", "path_repeats", "path_max_hops", "path_scales", "path_p_others", "path_search", "path_population", "path_budget",
)  # fmt: skip


class Command(BaseCommand):
    help = "Evolve a merge of parents on a benchmark, from start to final scores, and print the leaderboard."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--preset", choices=sorted(set(PRESETS) - {OWN.name}), help="a run that is filled in already"
        )
        parser.add_argument("--parents", help="names in the library or folders, separated by commas")
        parser.add_argument("--base", help="base model: a name or a folder")
        parser.add_argument(
            "--tokenizer",
            choices=TOKENIZERS,
            help="whose the result has where vocabularies differ; by default all have the same",
        )
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
        parser.add_argument(
            "--space",
            choices=SPACES,
            help="what evolves: the numbers of a merge method, the path through the layers of --parents A,B or of A alone, "
            "or both, one after the other: then the winner over numbers is model A of a second run",
        )
        parser.add_argument("--path-model-b", help="with --space both, model B of the second run: a name or a folder")
        parser.add_argument("--path-repeats", type=int, help="how often the list of all layers comes")
        parser.add_argument("--path-max-hops", type=int, help="layers that a path has at most")
        parser.add_argument("--path-scales", choices=SCALES, help="how the scales between layers are found")
        parser.add_argument(
            "--path-p-others",
            type=float,
            help="chance of layers outside A's own path to be on at the start; the paper's is 0.5",
        )
        parser.add_argument("--path-search", choices=searches.names())
        parser.add_argument("--path-population", type=int, help="paths per generation")
        parser.add_argument("--path-budget", type=int, help="paths to score on the search questions")
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of a leaderboard")

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console(stderr=True)
        chosen = _chosen(options)
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


def _chosen(options: dict[str, Any]) -> Preset:
    """The preset with whatever was given on the command line in its place."""
    start = preset(options["preset"]) if options["preset"] else OWN
    space: Spaces = options["space"] or start.space
    _check_space(space, options)
    names = ("base", "tokenizer", "method", "groups", "filters", "search", "budget", "seed", "fidelity")
    given = {name: options[name] for name in names}
    given["parents"] = tuple(options["parents"].split(",")) if options["parents"] else None
    given["settings"] = () if options["method"] else None  # those of the preset's are of its method
    given["n_finalists"] = options["finalists"]
    given["measures"] = _measures(start, options)
    given["path"] = _path(start.path, given["parents"] if space == "path" else None, options)
    chosen = replace(start, space=space, **{name: value for name, value in given.items() if value is not None})
    parents = chosen.path.model_a if space == "path" else chosen.parents
    if not parents or not chosen.measures:
        raise CommandError("a run needs --parents and --benchmark, or a --preset that has them: " + ", ".join(PRESETS))
    return chosen


def _check_space(space: Spaces, options: dict[str, Any]) -> None:
    """Nothing is given that the space takes no notice of."""
    wrong, belong, expected = {
        "numbers": (OF_PATH, "paths", "--space path or both"),
        "path": (
            (*OF_NUMBERS, "path_model_b"),
            "numbers",
            "--parents A,B and options that begin with --path, or --space both",
        ),
        "both": ((), "", ""),
    }[space]
    if given := [f"--{name.replace('_', '-')}" for name in wrong if options[name] is not None]:
        raise CommandError(f"{', '.join(given)} belongs to a run over {belong}: expected {expected}")


def _path(start: PathPreset, parents: tuple[str, ...] | None, options: dict[str, Any]) -> PathPreset:
    if parents and len(parents) > 2:
        raise CommandError(f"--parents names {len(parents)} models; a path leads through A and B, or A alone")
    given = {name.removeprefix("path_"): options[name] for name in OF_PATH}
    given["population_size"] = given.pop("population")
    models: dict[str, Any] = dict(zip(("model_a", "model_b"), (*parents, None), strict=False)) if parents else {}
    return replace(start, **{name: value for name, value in given.items() if value is not None}, **models)


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
