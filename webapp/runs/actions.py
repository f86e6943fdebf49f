"""What people do with runs. Every action is one transaction; workers are woken after it, and work goes on without the wake-up, only later.

Transitions themselves are in `transitions.py`; who may act is the caller's question.
"""

from __future__ import annotations

from typing import Final

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.functions import Now

from merging.recipes import Recipe, passthrough_recipe, uniform_average
from webapp.queue import wake
from webapp.runs import events, ranks, transitions
from webapp.runs.config import RunConfig
from webapp.runs.models import LIVE, Candidate, CandidateKind, Evaluation, Run

UNIFORM_AVERAGE: Final = "uniform average"
STARTING_POINT: Final = "starting point"


@transaction.atomic
def launch(owner: User, config: RunConfig, name: str, idempotency_key: str | None = None) -> Run:
    """Write a run with what it is measured against: its parents as they are, their average, and where the search begins.

    The same key of the same owner gives the run that it gave the first time, whatever else is asked.
    """
    references = _references(config)
    frozen = {
        "name": name,
        "config": config.to_json(),
        "config_digest": config.digest(),
        "seed": config.seed,
        "budget": config.budget,
    }
    if idempotency_key is None:
        run, is_new = Run.objects.create(owner=owner, **frozen), True
    else:
        run, is_new = Run.objects.get_or_create(owner=owner, idempotency_key=idempotency_key, defaults=frozen)
    if is_new:
        _add_references(run, references)
        events.record(run.pk, "run.state", {"state": run.state, "message": "", "stopping": False})
        transaction.on_commit(lambda: wake(run.pk))
    return run


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
    """Take an ended run off every list. False while it is live."""
    return bool(Run.objects.filter(pk=run.pk, deleted_at=None).exclude(state__in=LIVE).update(deleted_at=Now()))


def _transition(run: Run, changed: bool) -> bool:
    if changed:
        transaction.on_commit(lambda: wake(run.pk))
    return changed


def _references(config: RunConfig) -> list[tuple[CandidateKind, str, Recipe]]:
    space = config.space()
    parents: list[tuple[CandidateKind, str, Recipe]] = [
        ("parent", parent.name, passthrough_recipe(parent, config.dtype)) for parent in config.parents
    ]
    return [
        *parents,
        ("baseline", UNIFORM_AVERAGE, uniform_average(config.parents, config.dtype)),
        ("baseline", STARTING_POINT, space.decode(space.centre)),
    ]


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
