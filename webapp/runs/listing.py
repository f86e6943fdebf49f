"""The runs list in numbers: how far each run is, how good its best is against its best parent, and the curve of its best so far.

Three queries for a page of runs, however many candidates they hold: of the curve only the improvements leave the database.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import Case, Count, F, Max, Q, QuerySet, RowRange, When, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from webapp.runs.models import ENDED, LIVE, Evaluation, Run

PER_PAGE: Final = 25
TRUSTED: Final = 10.0
"""Added to the fitness of candidates whose answers can be trusted: any of them is better than any other."""
WIDTH, HEIGHT, MARGIN = 120, 32, 2  # of a curve, in its own units


@dataclass(frozen=True)
class Difference:
    """One share minus another, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """The best score so far as an SVG path over the budget, and the height of the best parent."""

    best: str
    end_x: float
    end_y: float
    parent_y: float | None


@dataclass(frozen=True)
class Row:
    """One run of the list. `split` is where `best` and `parent` were scored: final once it is known, search before."""

    run: Run
    n_scored: int
    split: str
    best: Evaluation | None
    parent: Evaluation | None
    gain: Difference | None
    curve: Curve | None
    elapsed: timedelta


def filtered(runs: QuerySet[Run], show: str, words: str) -> QuerySet[Run]:
    """All runs, or the live or the ended ones; with these words in their names."""
    states = {"live": LIVE, "ended": ENDED}.get(show)
    chosen = runs.filter(state__in=states) if states else runs
    return chosen.filter(name__icontains=words) if words else chosen


def rows(runs: Sequence[Run], with_curves: bool = True) -> list[Row]:
    """The rows of these runs, in their order."""
    ids = [run.pk for run in runs]
    counts = _n_scored(ids)
    improvements = _improvements(ids) if with_curves else defaultdict(list)
    compared = _compared(ids)
    now = timezone.now()
    return [_row(run, counts.get(run.pk, 0), improvements[run.pk], compared[run.pk], now) for run in runs]


def difference(first: Evaluation, second: Evaluation) -> Difference:
    """How much better `first` is, with an interval from the two's own intervals, as `merging.statistics.mover` combines them; that samples
    are paired is left aside. Of two Wilson intervals it is Newcombe's.

    Newcombe, "Interval estimation for the difference between independent proportions", Stat. Med. 17 (1998), method 10.
    """
    a, b = _numbers(first), _numbers(second)
    value = a[0] - b[0]
    low = value - math.hypot(a[0] - a[1], b[2] - b[0])
    high = value + math.hypot(a[2] - a[0], b[0] - b[1])
    return Difference(value, low, high)


def curve(improvements: Sequence[tuple[int, float]], n_scored: int, budget: int, parent: float | None) -> Curve | None:
    """A step line over [0, budget] through (number, score) pairs; None before the first score."""
    if not improvements:
        return None
    top = max([score for _, score in improvements] + [parent or 0.0, 0.01])

    def x(number: float) -> float:
        return round(MARGIN + (WIDTH - 2 * MARGIN) * min(number / budget, 1.0), 1)

    def y(score: float) -> float:
        return round(HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * score / top, 1)

    number, score = improvements[0]
    steps = [f"M{x(number)} {y(score)}", *(f"H{x(n)}V{y(s)}" for n, s in improvements[1:]), f"H{x(n_scored)}"]
    end = y(improvements[-1][1])
    return Curve("".join(steps), x(n_scored), end, None if parent is None else y(parent))


def _row(
    run: Run, n_scored: int, improvements: list[tuple[int, float]], compared: list[Evaluation], now: datetime
) -> Row:
    best, parent, split = _best_and_parent(run, compared)
    search_parent = _best_parent([e for e in compared if e.split == "search"])
    return Row(
        run=run,
        n_scored=n_scored,
        split=split,
        best=best,
        parent=parent,
        gain=difference(best, parent) if best and parent else None,
        curve=curve(improvements, n_scored, run.budget, search_parent.mean if search_parent else None),
        elapsed=(run.ended or now) - run.created,
    )


def _best_and_parent(run: Run, compared: list[Evaluation]) -> tuple[Evaluation | None, Evaluation | None, str]:
    """The best candidate and the best parent: on the final split once the run has ended and both are scored there, else on search.

    The best is the winner once there is one, also where only an estimate of its search score is at hand.
    """
    final = [e for e in compared if e.split == "final" and run.state in ENDED]
    winner, parent = _of_winner(run, final), _best_parent(final)
    if winner and parent:
        return winner, parent, "final"
    search = [e for e in compared if e.split == "search"]
    evolved = (e for e in search if e.candidate.kind == "evolved")
    best = _of_winner(run, search) or max(evolved, key=lambda e: (e.is_healthy, e.fitness or 0.0), default=None)
    return best, _best_parent(search), "search"


def _of_winner(run: Run, scored: Iterable[Evaluation]) -> Evaluation | None:
    return next((e for e in scored if e.candidate_id == run.winner_id), None)


def _best_parent(scored: Iterable[Evaluation]) -> Evaluation | None:
    return max((e for e in scored if e.candidate.kind == "parent"), key=lambda e: e.mean or 0.0, default=None)


def _numbers(evaluation: Evaluation) -> tuple[float, float, float]:
    return evaluation.mean or 0.0, evaluation.low or 0.0, evaluation.high or 0.0


def _evolved(ids: list[UUID]) -> QuerySet[Evaluation]:
    return Evaluation.objects.filter(run__in=ids, split="search", candidate__kind="evolved")


def _n_scored(ids: list[UUID]) -> dict[UUID, int]:
    """How many evolved candidates of each run are through: scored or failed."""
    through = _evolved(ids).filter(status__in=("done", "failed")).order_by()
    return dict(through.values_list("run_id").annotate(Count("id")))


def _improvements(ids: list[UUID]) -> defaultdict[UUID, list[tuple[int, float]]]:
    """Per run: the number and the score of every candidate that was better than all before it."""
    window: dict[str, Any] = {"partition_by": F("run_id"), "order_by": ("finished", "id")}
    numbered = (
        _evolved(ids)
        .filter(status="done")
        .annotate(
            number=Window(RowNumber(), **window),
            standing=Case(When(is_healthy=True, then=F("fitness") + TRUSTED), default=F("fitness")),
            before=Window(Max("standing"), frame=RowRange(end=-1), **window),
        )
    )
    better = numbered.filter(Q(before=None) | Q(standing__gt=F("before"))).order_by("run_id", "number")
    found: defaultdict[UUID, list[tuple[int, float]]] = defaultdict(list)
    for run, number, mean in better.values_list("run_id", "number", "mean"):
        found[run].append((number, mean or 0.0))
    return found


def _compared(ids: list[UUID]) -> defaultdict[UUID, list[Evaluation]]:
    """Per run: the scores of its parents, of its winner, and of its best candidate on the search split."""
    done = Evaluation.objects.filter(run__in=ids, status="done", split__in=("search", "final"))
    order = ("-is_healthy", "-fitness", "candidate__generation__number", "candidate__index")
    best = Q()
    for pk in ids:  # each by the index; together they would all be sorted
        best |= Q(pk__in=_evolved([pk]).filter(status="done").order_by(*order)[:1].values("pk"))
    chosen = done.filter(Q(candidate__kind="parent") | Q(candidate=F("run__winner")) | best).select_related("candidate")
    found: defaultdict[UUID, list[Evaluation]] = defaultdict(list)
    for evaluation in chosen:
        found[evaluation.run_id].append(evaluation)
    return found
