"""What the live chart draws when one benchmark among several is looked at alone. Reads rows."""

from __future__ import annotations

from typing import TypedDict
from uuid import UUID

from webapp.runs.live.series import DIGITS
from webapp.runs.models import Score


class BenchmarkScores(TypedDict):
    """`means` are those of the candidates that were scored after the first `after`, in the order in which they were scored, as the numbers
    of `series.Dots` count them. `references` are the parents' and baselines', by id, always all of them.
    """

    after: int
    means: list[float]
    references: dict[int, float]


def benchmark_scores(run_id: UUID, index: int, after: int) -> BenchmarkScores:
    """The scores on the `index`-th objective of a run on the search split; none where it has no such objective."""
    scores = Score.objects.filter(
        index=index, evaluation__run=run_id, evaluation__split="search", evaluation__status="done"
    )
    evolved = scores.filter(evaluation__candidate__kind="evolved").order_by("evaluation__finished", "evaluation_id")
    others = scores.exclude(evaluation__candidate__kind="evolved").order_by()
    return {
        "after": after,
        "means": [round(mean, DIGITS) for mean in evolved.values_list("mean", flat=True)[after:]],
        "references": {pk: round(mean, DIGITS) for pk, mean in others.values_list("evaluation__candidate", "mean")},
    }
