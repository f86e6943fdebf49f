"""How long a run will take, from what was measured on this installation. Says nothing where nothing was measured."""

from __future__ import annotations

import math
from typing import Final

from django.db.models import Avg, F

from webapp.runs.actions import n_references
from webapp.runs.drafts import Plan
from webapp.runs.models import Evaluation, Score
from webapp.system.status import workers

LATEST: Final = 100
CANDIDATES_PER_NUMBER: Final = 8
"""Fewer than so many candidates for every number to find is thin for an evolution strategy."""


def seconds(plan: Plan) -> float | None:
    """The wall time of the whole run with the workers that report now; None when these parents were never measured on these benchmarks."""
    config = plan.config
    parents = config.to_json()["parents"]
    merge = _merge_seconds(parents)
    questions = [_question_seconds(parents, objective.spec.digest) for objective in config.objectives]
    if merge is None or None in questions:
        return None
    n_others, n_finalists = n_references(config), config.n_finalists
    n_snapshots = math.ceil(config.budget / plan.population_size)  # a validation score for each generation
    n_merges = config.budget + n_snapshots + 3 * n_others + 2 * n_finalists
    asking = sum(
        (
            (config.budget + n_others) * asked.n_search
            + (n_snapshots + n_others + n_finalists) * asked.n_validation
            + (n_others + n_finalists) * asked.n_final
        )
        * (question or 0.0)
        for asked, question in zip(config.objectives, questions, strict=True)
    )
    n_workers = max(1, sum(seen.alive for seen in workers()))
    return float(n_merges * merge + asking) / n_workers


def _merge_seconds(parents: object) -> float | None:
    done = Evaluation.objects.filter(status="done", merge_seconds__isnull=False, run__config__parents=parents)
    mean: float | None = done.order_by("-finished")[:LATEST].aggregate(mean=Avg("merge_seconds"))["mean"]
    return mean


def _question_seconds(parents: object, digest: str) -> float | None:
    scored = Score.objects.filter(digest=digest, evaluation__run__config__parents=parents)
    latest = scored.order_by("-evaluation__finished")[:LATEST]
    mean: float | None = latest.aggregate(mean=Avg(F("seconds") / F("n")))["mean"]
    return mean
