"""How long a run will take, from what was measured on this installation. Says nothing where nothing was measured."""

from __future__ import annotations

from typing import Final

from django.db.models import Avg, F

from webapp.runs.drafts import Plan
from webapp.runs.models import Evaluation
from webapp.system.status import workers

N_BASELINES: Final = 2
LATEST: Final = 100
CANDIDATES_PER_NUMBER: Final = 8
"""Fewer than so many candidates for every number to find is thin for an evolution strategy."""


def seconds(plan: Plan) -> float | None:
    """The wall time of the whole run with the workers that report now; None when these parents were never measured on this benchmark."""
    frozen = plan.config.to_json()
    measured = Evaluation.objects.filter(
        status="done", merge_seconds__isnull=False, evaluate_seconds__isnull=False,
        run__config__parents=frozen["parents"], run__config__benchmark=frozen["benchmark"],
    ).order_by("-finished")[:LATEST]  # fmt: skip
    mean = measured.aggregate(merge=Avg("merge_seconds"), question=Avg(F("evaluate_seconds") / F("n")))
    if mean["merge"] is None:
        return None
    config = plan.config
    n_references = len(config.parents) + N_BASELINES
    n_merges = config.budget + 3 * n_references + 2
    n_questions = (config.budget + n_references) * config.n_search + (n_references + 1) * (
        config.n_validation + config.n_final
    )
    n_workers = max(1, sum(seen.alive for seen in workers()))
    return float(n_merges * mean["merge"] + n_questions * mean["question"]) / n_workers
