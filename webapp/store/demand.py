"""What workers on other hosts want: which work waits, what it needs, and what of it is asked for or in the store."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from functools import lru_cache
from typing import Final
from uuid import UUID

from django.db.models import Q
from django.db.models.functions import Now

from merging.benchmarks import BenchmarkSpec
from merging.errors import MergingError
from merging.recipes import Recipe
from webapp.leases import expired
from webapp.runs import versions
from webapp.runs.config import RunConfig
from webapp.runs.models import CLAIMABLE, PROBED, Run
from webapp.store import needs
from webapp.store.models import Stock
from webapp.store.needs import Need
from webapp.trials.models import Trial

AGAIN: Final = timedelta(seconds=30)
"""How long after something could not be put into the store it is tried again."""


def of_runs() -> dict[UUID, tuple[Need, ...]]:
    """Runs that have work, or will have some, the oldest first, and what each needs."""
    live = Q(state__in=CLAIMABLE) | Q(state__in=PROBED, evaluations__split="probe", evaluations__status="pending")
    rows = Run.objects.filter(live, deleted_at=None, algo_version__in=versions.KNOWN)
    ids = rows.order_by("created", "pk").values_list("pk", flat=True).distinct()
    return {pk: _needs_of_run(pk) for pk in dict.fromkeys(ids)}


def of_trials() -> dict[UUID, tuple[Need, ...]]:
    """The same of trials."""
    waiting = Trial.objects.filter(Q(status="pending") | expired()).order_by("created")
    found: dict[UUID, tuple[Need, ...]] = {}
    for trial in waiting.only("pk", "recipe", "benchmarks"):
        try:
            specs = [BenchmarkSpec.from_json(one) for one in trial.benchmarks]
            found[trial.pk] = needs.of_trial(Recipe.from_json(trial.recipe), specs)
        except MergingError:  # of another version; a worker that has all files says what is wrong with it
            continue
    return found


def everything() -> list[Need]:
    """All that is needed, what has waited longest first."""
    return list(
        dict.fromkeys(need for found in (of_runs(), of_trials()) for all_of in found.values() for need in all_of)
    )


def ask(wanted: Iterable[Need]) -> None:
    """Have them put into the store, also those that could not be a while ago."""
    for need in wanted:
        facts = {"name": need.name[:200], "path": need.path}
        row, _ = Stock.objects.get_or_create(kind=need.kind, digest=need.digest, defaults=facts)
        again = Stock.objects.filter(pk=row.pk, status="failed", finished__lt=Now() - AGAIN)
        again.update(status="pending", attempts=0, failure_kind="", failure="", finished=None, n_done=0, **facts)


def doubt(need: Need, file: str, sentence: str) -> None:
    """A file of it was found missing or wrong in the store: nobody fetches it before that was put there anew."""
    row = Stock.objects.filter(kind=need.kind, digest=need.digest, status="done").first()
    if row is not None:
        doubted = sorted({*row.doubted, file})
        ended = {"status": "failed", "failure_kind": "damaged", "failure": sentence, "finished": Now()}
        Stock.objects.filter(pk=row.pk, status="done").update(doubted=doubted, **ended)


@lru_cache(maxsize=256)
def _needs_of_run(pk: UUID) -> tuple[Need, ...]:
    """A run's configuration never changes."""
    return needs.of_run(RunConfig.from_json(Run.objects.values_list("config", flat=True).get(pk=pk)))
