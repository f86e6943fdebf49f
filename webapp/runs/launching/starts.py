"""Where a new run begins: with a preset, with the choices of another run, or with a model. Http404 for what one may not see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from django.contrib.auth.models import User
from django.http import Http404
from django.shortcuts import get_object_or_404

from merging.errors import UnknownNameError
from merging.recipes import Recipe
from webapp.library.listing import NUMBER
from webapp.library.models import Parent
from webapp.lineage.models import Sequel
from webapp.lineage.queries import open_origins
from webapp.runs.config import PathSettings, RunConfig
from webapp.runs.launching.presets import OWN, Measure, PathPreset, Preset, Spaces, preset
from webapp.sharing.access import runs_of


def start_of(user: User, asked: Mapping[str, str]) -> Preset:
    """What an address asks for: `like` a run, with a `parent`, or a `preset`; without any of them nothing is chosen yet."""
    if like := asked.get("like"):
        return _like(user, like)
    if parent := asked.get("parent"):
        return _with(user, parent)
    try:
        return preset(asked.get("preset", OWN.name))
    except UnknownNameError as error:
        raise Http404(str(error)) from error


def _with(user: User, parent_id: str) -> Preset:
    """With one model chosen already, as a parent and as model A. One that was bred here brings the base model and the benchmarks of its
    run; where it is a path no other model has its layers, so that paths are searched.
    """
    number = int(parent_id) if NUMBER.fullmatch(parent_id) else 0
    parent = get_object_or_404(Parent.objects.visible_to(user), pk=number)
    start = replace(OWN, title="", parents=(parent.name,), path=replace(OWN.path, model_a=parent.name))
    origin = open_origins([parent.folder], user).get(parent.folder)
    if origin is None:
        return start
    config = RunConfig.from_json(origin.run.config)
    space: Spaces = "path" if Recipe.from_json(origin.recipe).path else "numbers"
    return replace(start, space=space, base=config.base.name if config.base else None, measures=_measures(config))


def _like(user: User, run_id: str) -> Preset:
    """What a run that one may see was launched with; both runs, where another was to follow it."""
    try:
        run = get_object_or_404(runs_of(user), pk=UUID(run_id))
    except ValueError as error:
        raise Http404(f"there is no run {run_id!r}") from error
    config = RunConfig.from_json(run.config)
    start = replace(
        OWN,
        title=run.name,
        measures=_measures(config),
        seed=config.seed,
        n_finalists=config.n_finalists,
        fidelity=config.fidelity,
        fidelity_settings=config.fidelity_settings,
        steady=config.steady,
    )
    if config.path:
        return replace(start, space="path", path=_path_of(config, config.path))
    start = replace(
        start,
        base=config.base.name if config.base else None,
        parents=tuple(parent.name for parent in config.parents),
        method=config.method,
        settings=config.settings,
        groups=config.groups,
        filters=",".join(config.filters),
        search=config.search,
        population_size=config.population_size,
        budget=config.budget,
        tokenizer=config.tokenizer,
    )
    sequel = Sequel.objects.filter(first=run).first()
    follows = RunConfig.from_json(sequel.config) if sequel else None
    if follows is None or follows.path is None:
        return start
    return replace(start, space="both", path=replace(_path_of(follows, follows.path), model_a=None))


def _measures(config: RunConfig) -> tuple[Measure, ...]:
    return tuple(
        Measure(asked.spec.name, asked.weight, asked.n_search, asked.n_validation, asked.n_final)
        for asked in config.objectives
    )


def _path_of(config: RunConfig, path: PathSettings) -> PathPreset:
    model_a, model_b = (*(parent.name for parent in config.parents), None)[:2]
    return PathPreset(
        model_a=model_a,
        model_b=model_b,
        repeats=path.repeats,
        scales=path.scales,
        max_hops=path.max_hops,
        p_others=path.p_others,
        search=config.search,
        population_size=config.population_size,
        budget=config.budget,
    )
