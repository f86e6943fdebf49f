"""How long a run will take, from what was measured on this installation. Says nothing where nothing was measured."""

from __future__ import annotations

import math
from typing import Final

from django.db.models import Avg, F, Q

from webapp.runs.actions import n_references
from webapp.runs.config import RunConfig
from webapp.runs.models import Evaluation, Score
from webapp.runs.plans import Plan
from webapp.system.status import workers

LATEST: Final = 100
CANDIDATES_PER_NUMBER: Final = 8
"""Fewer than so many candidates for every number to find is thin for an evolution strategy."""


def seconds(plan: Plan) -> float | None:
    """The wall time of the whole run with the workers that report now; None when these parents were never measured on these benchmarks.

    Of paths that were not measured either, from how long model A takes and how many times its layers a path has in the first generation.
    """
    config = plan.config
    merge = _merge_seconds(config)
    questions = [_question_seconds(plan, objective.spec.digest) for objective in config.objectives]
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


def _merge_seconds(config: RunConfig) -> float | None:
    """0 for paths, which are not merged, as long as none was measured."""
    done = Evaluation.objects.filter(_like(config, "run"), status="done", merge_seconds__isnull=False)
    mean: float | None = done.order_by("-finished")[:LATEST].aggregate(mean=Avg("merge_seconds"))["mean"]
    return 0.0 if mean is None and config.path else mean


def _question_seconds(plan: Plan, digest: str) -> float | None:
    measured = _mean_of(_like(plan.config, "evaluation__run"), digest)
    if measured is not None or plan.route is None:
        return measured
    model_a = plan.config.to_json()["parents"][0]
    of_model_a = Q(evaluation__run__config__parents__0=model_a) & ~Q(evaluation__run__config__has_key="path")
    alone = _mean_of(of_model_a, digest)
    return None if alone is None else alone * plan.route.times_at_first


def _mean_of(which: Q, digest: str) -> float | None:
    latest = Score.objects.filter(which, digest=digest).order_by("-evaluation__finished")[:LATEST]
    mean: float | None = latest.aggregate(mean=Avg(F("seconds") / F("n")))["mean"]
    return mean


def _like(config: RunConfig, run: str) -> Q:
    """Runs of the same parents over the same kind of space; `run` is the way to them."""
    found = config.to_json()
    same = Q(**{f"{run}__config__parents": found["parents"]})
    return same & (
        Q(**{f"{run}__config__path": found["path"]}) if config.path else ~Q(**{f"{run}__config__has_key": "path"})
    )
