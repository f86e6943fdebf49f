"""What people do with trials: begin one and forget one. Workers carry them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.contrib.auth.models import User
from django.db import transaction

from merging.benchmarks import BenchmarkSpec
from merging.recipes import Recipe
from webapp.leases import UNDER_WAY
from webapp.queue import wake
from webapp.quotas import QuotaError, hold
from webapp.trials.models import Trial

N_QUESTIONS: Final = 3
N_AT_ONCE: Final = 3
"""Trials that one user may have under way."""
N_KEPT: Final = 50
"""Trials that one user keeps; the oldest go."""


@transaction.atomic
def start(owner: User, recipe: Recipe, benchmarks: Sequence[BenchmarkSpec], name: str = "") -> Trial:
    """Have the first questions of these benchmarks asked of a recipe's model. Workers are woken after the commit.

    `name` is what the model is called, its recipe in a sentence when nobody says. QuotaError when as many as one may have are under way.
    """
    hold(owner)
    mine = Trial.objects.filter(owner=owner)
    if mine.filter(status__in=UNDER_WAY).count() >= N_AT_ONCE:
        raise QuotaError(f"{N_AT_ONCE} trials at a time are all that one may have: wait for one of yours, or cancel it")
    trial = Trial.objects.create(
        owner=owner,
        name=(name or recipe.sentence())[:200],
        recipe=recipe.to_json(),
        benchmarks=[spec.to_json() for spec in benchmarks],
        n_questions=N_QUESTIONS,
    )
    mine.filter(pk__in=mine.exclude(status__in=UNDER_WAY).values("pk")[N_KEPT - 1 :]).delete()
    transaction.on_commit(wake)
    return trial


def forget(trial: Trial) -> None:
    """Remove it. What a worker does for it ends within seconds."""
    trial.delete()
