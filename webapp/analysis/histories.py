"""The best so far of several runs over what they have spent: candidates scored, or hours of merging and evaluating. Reads rows only.

Only the improvements leave the database, so a run of ten thousand candidates is as quick as one of ten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, NotRequired, TypedDict, get_args

from django.db.models import Count, ExpressionWrapper, F, FloatField, Max, QuerySet, RowRange, Sum, Value, Window
from django.db.models.functions import Coalesce

from webapp.runs.listing import IN_ORDER, improving
from webapp.runs.models import Evaluation, Run

Over = Literal["candidates", "hours"]
OVERS: Final[tuple[Over, ...]] = get_args(Over)
DIGITS: Final = 4


class Line(TypedDict):
    """One run: a step at every new best, then how far it has come. `parent` is its best parent on the search split."""

    name: str
    x: list[float]
    y: list[float]
    parent: float | None


class Histories(TypedDict):
    """The chart of `static/js/plots/lines.js`; `nothing` says why there is none."""

    x: str
    y: str
    lines: list[Line]
    nothing: NotRequired[str]


def histories(runs: Sequence[Run], over: Over) -> Histories:
    """The best search score so far of each of these runs."""
    titles = {"candidates": "candidates scored", "hours": "hours of merging and evaluating"}
    found: Histories = {
        "x": titles[over],
        "y": "best search score so far",
        "lines": [_line(run, over) for run in runs],
    }
    return found if any(line["x"] for line in found["lines"]) else {**found, "nothing": "No candidate was scored yet."}


def _line(run: Run, over: Over) -> Line:
    evolved = _search(run).filter(candidate__kind="evolved")
    steps = _improvements(evolved)
    spent = evolved.aggregate(number=Count("pk"), hours=Sum(_hours()))
    place = 0 if over == "candidates" else 1
    x = [step[place] for step in steps]
    y = [step[2] for step in steps]
    if steps:
        x, y = [*x, (spent["number"], spent["hours"])[place]], [*y, y[-1]]
    parent = _search(run).filter(candidate__kind="parent").aggregate(best=Max("mean"))["best"]
    return {
        "name": run.name,
        "x": [round(at, DIGITS + 1) for at in x],
        "y": [round(at, DIGITS) for at in y],
        "parent": parent,
    }


def _search(run: Run) -> QuerySet[Evaluation]:
    return Evaluation.objects.filter(run=run, split="search", status="done").order_by()


def _hours() -> Any:
    seconds = Coalesce(F("merge_seconds"), Value(0.0)) + Coalesce(F("evaluate_seconds"), Value(0.0))
    return ExpressionWrapper(seconds / Value(3600.0), output_field=FloatField())


def _improvements(evolved: QuerySet[Evaluation]) -> list[tuple[int, float, float]]:
    """The number, the hours until then and the score of every candidate that was better than all before it."""
    timed = evolved.annotate(hours=Window(Sum(_hours()), frame=RowRange(end=0), **IN_ORDER))
    better = improving(timed).order_by("number")
    return [(number, hours, mean or 0.0) for number, hours, mean in better.values_list("number", "hours", "mean")]
