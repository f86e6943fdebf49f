"""Who computed what when: the claims of a run as bars over time, one lane for each worker (`static/js/plots/timeline.js`). Reads rows.

An attempt begins when its candidate is claimed. What its score took is known when it is accepted, and ends with it: so answering comes
last, loading and merging before it, and what is left at the start is waiting for the device. Of very many attempts the newest are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.utils import timezone

from webapp.runs.live.genes import Nothing
from webapp.runs.live.notes import asked_on
from webapp.runs.models import Attempt, Run

MAX_ATTEMPTS: Final = 400
DIGITS: Final = 2
STAGES: Final = ("waits", "is loaded and merged", "answers", "is computed", "gave no result")
"""What a bar says, by its number on the wire: `is computed` while nothing more is known."""
WAITS, MERGES, ANSWERS, OPEN, NO_RESULT = range(len(STAGES))
LEAST_SECONDS: Final = 0.05
"""A shorter wait is none."""


@dataclass(frozen=True)
class Bar:
    """One stage of one attempt, in seconds since the run began."""

    lane: int
    start: float
    end: float
    stage: int
    name: int


def timeline(run: Run) -> dict[str, Any] | Nothing:
    """The newest attempts of a run: lanes, bars, and how the workers spent the time that they cover."""
    attempts = Attempt.objects.filter(evaluation__run=run).select_related("evaluation__candidate")
    rows = list(
        attempts.defer("evaluation__candidate__recipe", "evaluation__candidate__genome").order_by("-token")[
            :MAX_ATTEMPTS
        ]
    )
    if not rows:
        return {"nothing": "No worker has begun yet."}
    began, now = run.started or run.created, timezone.now()
    lanes = sorted({row.worker for row in rows})
    names = [_words(row) for row in rows]
    bars = [bar for i, row in enumerate(rows) for bar in _bars(row, lanes.index(row.worker), i, began, now)]
    return {
        "lanes": lanes,
        "stages": STAGES,
        "names": names,
        "bars": [
            [bar.lane, bar.start, bar.end, bar.stage, bar.name] for bar in sorted(bars, key=lambda bar: bar.start)
        ],
        "shares": _shares(bars, len(lanes)),
        "is_all": len(rows) < MAX_ATTEMPTS,
    }


def _bars(attempt: Attempt, lane: int, name: int, began: datetime, now: datetime) -> list[Bar]:
    evaluation = attempt.evaluation
    start = (attempt.started - began).total_seconds()
    end = ((attempt.ended or now) - began).total_seconds()
    if attempt.outcome != "accepted":
        return [_bar(lane, start, end, NO_RESULT if attempt.outcome else OPEN, name)]
    asking = max(start, end - (evaluation.evaluate_seconds or 0.0))
    merging = max(start, asking - (evaluation.merge_seconds or 0.0))
    bars = [_bar(lane, merging, asking, MERGES, name), _bar(lane, asking, end, ANSWERS, name)]
    return [_bar(lane, start, merging, WAITS, name), *bars] if merging - start > LEAST_SECONDS else bars


def _bar(lane: int, start: float, end: float, stage: int, name: int) -> Bar:
    return Bar(lane, round(start, DIGITS), round(max(start, end), DIGITS), stage, name)


def _words(attempt: Attempt) -> str:
    """`g3.7 on the search questions`, and how it ended when that was not with a result."""
    evaluation = attempt.evaluation
    ended = "" if attempt.outcome in ("", "accepted") else f" ({attempt.outcome})"
    return f"{evaluation.candidate.name} on the {asked_on(evaluation.split)} questions{ended}"


def _shares(bars: Sequence[Bar], n_lanes: int) -> dict[str, float]:
    """Of the time of all lanes, from the first bar to the last: what each stage took, and `idle`, the rest."""
    whole = (max(bar.end for bar in bars) - min(bar.start for bar in bars)) * n_lanes
    if whole <= 0:
        return {}
    found = {
        stage: sum(bar.end - bar.start for bar in bars if bar.stage == number) / whole
        for number, stage in enumerate(STAGES)
    }
    return {stage: round(share, DIGITS) for stage, share in found.items() if share > 0} | {
        "idle": round(max(0.0, 1.0 - sum(found.values())), DIGITS)
    }
