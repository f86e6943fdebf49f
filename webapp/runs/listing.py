"""The runs list in numbers: how far each run is, what it has taken, how long it takes still, how good its best is against its best parent,
and the curve of its best so far.

Four queries for a page of runs, however many candidates they hold: of the curve only the improvements leave the database.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import Case, Count, Exists, F, Max, Min, OuterRef, Q, QuerySet, RowRange, Sum, When, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from webapp.leases import live
from webapp.runs.models import CLAIMABLE, ENDED, LIVE, RUN_STATES, Evaluation, Run, RunState

PER_PAGE: Final = 25
HALTED: Final[tuple[RunState, ...]] = ("pausing", "paused")
SHOWN: Final[dict[str, tuple[RunState, ...]]] = {
    "all": RUN_STATES,
    "live": tuple(state for state in LIVE if state not in HALTED),
    "paused": HALTED,
    "ended": ENDED,
    "failed": ("failed",),
}
"""What can be looked at alone, by states; none of it archived."""
ARCHIVED: Final = "archived"
"""The word for what was archived, whatever its state."""
OWNERS: Final = ("all", "mine", "shared")
TRUSTED: Final = 10.0
"""Added to the fitness of candidates whose answers can be trusted: any of them is better than any other."""
IN_ORDER: Final[dict[str, Any]] = {"partition_by": F("run_id"), "order_by": ("finished", "id")}
"""The window of an evaluation: those of its run in the order in which they were scored."""
RECENT: Final = 30
"""Finished evaluations from which the speed is taken."""
BETWEEN_SECONDS: Final = 5.0
"""A worker has the next evaluation in hand within this time."""
_BUSY: Final = """
WITH latest AS (
     SELECT through.run_id, count(*) AS n, min(through.finished) AS first, max(through.finished) AS last
       FROM unnest(%s::uuid[]) AS wanted (run_id)
      CROSS JOIN LATERAL (
            SELECT e.run_id, e.finished FROM runs_evaluation e JOIN runs_candidate c ON c.id = e.candidate_id
             WHERE e.run_id = wanted.run_id AND e.split = 'search' AND c.kind = 'evolved' AND e.finished IS NOT NULL
             ORDER BY e.finished DESC LIMIT %s) through
      GROUP BY through.run_id)
SELECT latest.run_id, latest.n, coalesce(sum(upper(busy) - lower(busy)), interval '0')
  FROM latest
  LEFT JOIN LATERAL unnest((
       SELECT range_agg(tstzrange(greatest(latest.first, e.finished - took.seconds), e.finished))
         FROM runs_evaluation e JOIN runs_run r ON r.id = e.run_id
        CROSS JOIN LATERAL make_interval(
              secs => %s + coalesce(e.merge_seconds, 0) + coalesce(e.evaluate_seconds, 0)) AS took (seconds)
        WHERE r.state = ANY(%s) AND e.finished > latest.first AND e.finished <= latest.last)) AS busy ON true
 GROUP BY latest.run_id, latest.n
"""
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
class Work:
    """What workers have done for a run: its evolved candidates that are through, scored or failed; all scores on whatever split, and the
    device seconds that these took.
    """

    n_through: int = 0
    n_done: int = 0
    merge_seconds: float = 0.0
    evaluate_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """Of devices, of all workers together."""
        return self.merge_seconds + self.evaluate_seconds

    @property
    def merging(self) -> float:
        """The share of the time in which models were loaded and merged."""
        return self.merge_seconds / self.seconds if self.seconds else 0.0

    @property
    def mean_seconds(self) -> float:
        """Of one score."""
        return self.seconds / self.n_done if self.n_done else 0.0


@dataclass(frozen=True)
class Row:
    """One run of the list. `split` is where `best` and `parent` were scored: final once it is known, search before. `left` is how long the
    search takes still at its recent pace; None when it does not run, and when there is nothing to tell from. `n_before`: how many of its
    owner's other runs a free worker would serve first; None when it waits for none.
    """

    run: Run
    work: Work
    split: str
    best: Evaluation | None
    parent: Evaluation | None
    gain: Difference | None
    curve: Curve | None
    elapsed: timedelta
    left: timedelta | None
    n_before: int | None

    @property
    def n_scored(self) -> int:
        return self.work.n_through

    @property
    def seconds_left(self) -> float | None:
        """Of devices, for what is left of the budget; None before anything was scored, and at the end."""
        n_left = self.run.budget - self.n_scored
        return n_left * self.work.mean_seconds if self.run.state in LIVE and n_left > 0 and self.work.n_done else None


@dataclass(frozen=True)
class Facet:
    """Runs that can be looked at alone, and how many there are of them."""

    name: str
    n: int


def facets(runs: QuerySet[Run]) -> tuple[list[Facet], list[Facet]]:
    """By state, `SHOWN` and what is archived, and by whose they are, `OWNERS`: one query. `runs` are those of `sharing.access.runs_of`."""
    marked = runs.annotate(is_archived=Q(archived_at__isnull=False)).order_by()
    counted = marked.values_list("state", F("is_own"), F("is_archived"))
    rows = [
        (ARCHIVED if is_archived else state, "mine" if is_own else "shared", n)
        for state, is_own, is_archived, n in counted.annotate(n=Count("pk"))
    ]
    shown = {**SHOWN, ARCHIVED: (ARCHIVED,)}
    by_state = [Facet(name, sum(n for state, _, n in rows if state in states)) for name, states in shown.items()]
    by_owner = [Facet(name, sum(n for _, owner, n in rows if name in ("all", owner))) for name in OWNERS]
    return by_state, by_owner


def filtered(runs: QuerySet[Run], show: str, of: str, words: str) -> QuerySet[Run]:
    """The runs of one state and one owner, as facets name them, with these words in their names."""
    if show == ARCHIVED:
        chosen = runs.filter(archived_at__isnull=False)
    else:
        chosen = runs.filter(archived_at=None, state__in=SHOWN.get(show, RUN_STATES))
    if of in ("mine", "shared"):
        chosen = chosen.filter(Q(is_own=of == "mine"))
    return chosen.filter(name__icontains=words) if words else chosen


def rows(runs: Sequence[Run], with_curves: bool = True) -> list[Row]:
    """The rows of these runs, in their order."""
    ids = [run.pk for run in runs]
    works, paces, places = _works(ids), _paces(runs), _places(runs)
    improvements = _improvements(ids) if with_curves else defaultdict(list)
    compared = _compared(ids)
    now = timezone.now()
    return [
        _row(
            run,
            works.get(run.pk, Work()),
            paces.get(run.pk),
            places.get(run.pk),
            improvements[run.pk],
            compared[run.pk],
            now,
        )
        for run in runs
    ]


def time_left(between: timedelta | None, n_left: int) -> timedelta | None:
    """How long `n_left` evaluations take, of which one ends so long after the other."""
    return None if between is None or n_left < 1 else between * n_left


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


def improving(scored: QuerySet[Evaluation]) -> QuerySet[Any]:
    """Of the scored candidates of some runs those that were better than all before them in their run; `number` counts these from 1."""
    numbered: QuerySet[Any] = scored.annotate(
        number=Window(RowNumber(), **IN_ORDER),
        standing=Case(When(is_healthy=True, then=F("fitness") + TRUSTED), default=F("fitness")),
        before=Window(Max("standing"), frame=RowRange(end=-1), **IN_ORDER),
    )
    return numbered.filter(Q(before=None) | Q(standing__gt=F("before")))


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
    run: Run,
    work: Work,
    pace: timedelta | None,
    place: int | None,
    improvements: list[tuple[int, float]],
    compared: list[Evaluation],
    now: datetime,
) -> Row:
    best, parent, split = _best_and_parent(run, compared)
    search_parent = _best_parent([e for e in compared if e.split == "search"])
    return Row(
        run=run,
        work=work,
        split=split,
        best=best,
        parent=parent,
        gain=difference(best, parent) if best and parent else None,
        curve=curve(improvements, work.n_through, run.budget, search_parent.mean if search_parent else None),
        elapsed=(run.ended or now) - run.created,
        left=time_left(pace, run.budget - work.n_through),
        n_before=place,
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


def _works(ids: list[UUID]) -> dict[UUID, Work]:
    through = Q(split="search", candidate__kind="evolved", status__in=("done", "failed"))
    rows = Evaluation.objects.filter(run__in=ids).order_by().values_list("run_id")
    counted = rows.annotate(
        through=Count("id", filter=through),
        done=Count("id", filter=Q(status="done")),
        merging=Sum("merge_seconds"),
        asking=Sum("evaluate_seconds"),
    )
    return {run: Work(n, done, merging or 0.0, asking or 0.0) for run, n, done, merging, asking in counted}


def _paces(runs: Sequence[Run]) -> dict[UUID, timedelta]:
    """Of every running run: how long after one another its latest candidates were through. Stretches in which no worker brought anything of
    any run that has not ended do not count: nobody worked then.
    """
    running = [run.pk for run in runs if run.state == "running"]
    if not running:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_BUSY, [running, RECENT, BETWEEN_SECONDS, list(LIVE)])
        return {run: busy / (n - 1) for run, n, busy in cursor.fetchall() if n > 1}


def _places(runs: Sequence[Run]) -> dict[UUID, int]:
    """Of every queued run that waits: how many of its owner's runs come before it. The order is that of `claims`, of the workers: those of
    which nothing is computed, whichever is behind first.
    """
    owners = {run.owner_id for run in runs if run.state == "queued"}
    if not owners:
        return {}
    pending = Q(evaluations__status="pending")
    waiting = (
        Run.objects.filter(owner__in=owners, state__in=CLAIMABLE, deleted_at=None)
        .annotate(rank=Min("evaluations__rank", filter=pending), first=Min("evaluations__id", filter=pending))
        .filter(~Exists(Evaluation.objects.filter(live(), run=OuterRef("pk"))), rank__isnull=False)
    )
    seen: Counter[int] = Counter()
    found = {}
    for run, owner, state in waiting.order_by("rank", "first").values_list("pk", "owner", "state"):
        if state == "queued":
            found[run] = seen[owner]
        seen[owner] += 1
    return found


def _improvements(ids: list[UUID]) -> defaultdict[UUID, list[tuple[int, float]]]:
    """Per run: the number and the score of every candidate that was better than all before it."""
    better = improving(_evolved(ids).filter(status="done")).order_by("run_id", "number")
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
