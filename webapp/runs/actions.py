"""What people do with runs. Every action is one transaction; workers are woken after it, and work goes on without the wake-up, only later.

Transitions themselves are in `transitions.py`; who may act is the caller's question.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q

from merging.errors import BenchmarkError, ParentError
from merging.fit import fit
from merging.hops import Hop, LayerPath
from merging.indexes import parent_facts
from merging.methods import methods
from merging.paths import path_recipe
from merging.recipes import WHOLE_MODEL, Companions, Recipe, passthrough_recipe, uniform_average
from webapp.library.models import Benchmark, Parent
from webapp.queue import wake
from webapp.quotas import QuotaError, hold
from webapp.runs import events, ranks, transitions, versions
from webapp.runs.config import RunConfig
from webapp.runs.models import LIVE, Candidate, CandidateKind, Evaluation, Run

UNIFORM_AVERAGE: Final = "uniform average"
STARTING_POINT: Final = "starting point"
UNTUNED_STACK: Final = "untuned stack"
UNTUNED: Final = ("ties", "dare_ties")
"""Methods that are also scored as they come: each parent at the parameter's default, weight 1 and density 0.5, in one group."""
RANDOM_SEARCH: Final = "random"


@transaction.atomic
def launch(
    owner: User, config: RunConfig, name: str, idempotency_key: str | None = None, with_random_search: bool = False
) -> Run:
    """Write a run with what it is measured against: its parents as they are, their average, untuned merges over the base model or the
    parents one after the other, and where the search begins. `with_random_search` launches a second run that differs in the search alone,
    unless that is random.

    The same key of the same owner gives the run that it gave the first time, whatever else is asked. QuotaError when the owner has as many
    runs as one may have, BenchmarkError when questions were dealt anew since they were chosen.
    """
    references = _references(config)
    hold(owner)
    frozen = {
        "name": name,
        "config": config.to_json(),
        "config_digest": config.digest(),
        "algo_version": versions.of(config),
        "seed": config.seed,
        "budget": config.budget,
    }
    if idempotency_key is None:
        run, is_new = Run.objects.create(owner=owner, **frozen), True
    else:
        run, is_new = Run.objects.get_or_create(owner=owner, idempotency_key=idempotency_key, defaults=frozen)
    if is_new:
        _check_quota(owner)
        _check_splits(owner, config)
        _check_models(owner, config)
        _add_references(run, references)
        events.record(run.pk, "run.state", {"state": run.state, "message": "", "stopping": False})
        transaction.on_commit(lambda: wake(run.pk))
        if with_random_search and config.search != RANDOM_SEARCH:
            _launch_random_search(run, config)
    return run


def n_references(config: RunConfig) -> int:
    """How many models a run with this configuration is compared with."""
    return len(_references(config))


def pause(run: Run) -> bool:
    """Claim nothing new. False when there is nothing to pause."""
    return _transition(run, transitions.pause(run.pk))


def resume(run: Run) -> bool:
    """Go on exactly where it was. False when it was not paused."""
    return _transition(run, transitions.resume(run.pk))


def stop(run: Run) -> bool:
    """End the search and keep the best. False when it is ending or has ended."""
    return _transition(run, transitions.stop(run.pk))


def rename(run: Run, name: str) -> None:
    """Give the run another name; nothing else of it ever changes by hand."""
    Run.objects.filter(pk=run.pk).update(name=name)


def delete(run: Run) -> bool:
    """End the run, if it is live, and take it off every list. False when it is deleted already."""
    return transitions.delete(run.pk)


def _transition(run: Run, changed: bool) -> bool:
    if changed:
        transaction.on_commit(lambda: wake(run.pk))
    return changed


def n_places(owner: User) -> int:
    """How many more runs this person may have at a time; below 0 when there are more than that already."""
    return settings.QUOTAS.n_runs - Run.objects.filter(owner=owner, state__in=LIVE, deleted_at=None).count()


def _check_quota(owner: User) -> None:
    if n_places(owner) < 0:
        raise QuotaError(
            f"{settings.QUOTAS.n_runs} runs at a time are all that one may have here: wait for one to end, or stop one, and launch again"
        )


def _check_splits(owner: User, config: RunConfig) -> None:
    """Of questions that may be dealt anew until a run uses them. The owner is held, as by whoever deals: either sees the other."""
    for objective in config.objectives:
        spec = objective.spec
        known = Benchmark.objects.filter(Q(owner=owner) | Q(owner=None), digest=spec.digest)
        if spec.sealed and not known.exists():
            raise BenchmarkError(
                f"the questions of {spec.name} were dealt anew just now: look at its splits as they are, and launch again"
            )


def _check_models(owner: User, config: RunConfig) -> None:
    """Whose files may be removed until a run uses them. The owner is held, as by whoever removes: either sees the other."""
    folders = [model.folder for model in (*config.parents, config.base) if model]
    gone = Parent.objects.filter(owner=owner, folder__in=folders, removed_at__isnull=False).first()
    if gone:
        raise ParentError(f"the files of {gone.name} were removed just now: fetch it again, and launch again")


def _launch_random_search(run: Run, config: RunConfig) -> None:
    sibling = launch(run.owner, replace(config, search=RANDOM_SEARCH), f"{run.name[:180]}, random search")
    Run.objects.filter(pk=sibling.pk).update(baseline_of=run)


def _references(config: RunConfig) -> list[tuple[CandidateKind, str, Recipe]]:
    space = config.space()
    parents: list[tuple[CandidateKind, str, Recipe]] = [
        ("parent", parent.name, passthrough_recipe(parent, config.dtype)) for parent in config.parents
    ]
    return [
        *parents,
        *(("baseline", name, recipe) for name, recipe in (_of_path if config.path else _of_numbers)(config)),
        ("baseline", STARTING_POINT, space.decode(space.centre)),
    ]


def _of_numbers(config: RunConfig) -> Iterator[tuple[str, Recipe]]:
    average = uniform_average(config.parents, config.dtype)
    whose = "first" if config.tokenizer == "base" else config.tokenizer  # an average knows no base model
    yield UNIFORM_AVERAGE, replace(average, companions=Companions(whose))
    for name in UNTUNED if config.base else ():
        yield f"untuned {methods.get(name).title}", _untuned(name, config)


def _of_path(config: RunConfig) -> Iterator[tuple[str, Recipe]]:
    """Of two parents: their average, where their tensors allow one, and all layers of A, then all of B."""
    if len(config.parents) == 1:
        return
    if not fit(config.parents).errors:
        yield UNIFORM_AVERAGE, uniform_average(config.parents, config.dtype)
    hops = (
        Hop(number, layer)
        for number, parent in enumerate(config.parents)
        for layer in range(parent_facts(parent.folder).n_layers)
    )
    yield UNTUNED_STACK, path_recipe(config.parents, LayerPath(tuple(hops)), config.dtype)


def _untuned(name: str, config: RunConfig) -> Recipe:
    """What somebody gets who merges with the method's own numbers: the same for every parent and layer."""
    method = methods.get(name)
    defaults = {parameter.name: parameter.default for parameter in method.per_parent()}
    row = (defaults,) * len(config.parents)
    return Recipe(
        method=name,
        base=config.base,
        parents=config.parents,
        groups=(WHOLE_MODEL,),
        values=(row,),
        settings=method.default_settings(),
        seed=config.seed,
        dtype=config.dtype,
        companions=Companions(config.tokenizer),
    )


def _add_references(run: Run, references: list[tuple[CandidateKind, str, Recipe]]) -> None:
    candidates = Candidate.objects.bulk_create(
        Candidate(run=run, kind=kind, index=index, name=name, recipe=recipe.to_json(), recipe_digest=recipe.digest())
        for index, (kind, name, recipe) in enumerate(references)
    )
    splits = (("search", ranks.REFERENCE_SEARCH), ("validation", ranks.REFERENCE_VALIDATION))
    Evaluation.objects.bulk_create(
        Evaluation(run=run, candidate=candidate, split=split, rank=rank)
        for split, rank in splits
        for candidate in candidates
    )
