"""What the live chart needs of a run: all of it at once, or only what is new since an event. Reads rows; knows no sockets and no pages.

Whatever a watcher holds, `catch_up` brings it up to date: with the events after its number, or, when those are many, with a fresh snapshot.
A snapshot may already show scores of events that come after its `seq`; `number` tells them apart, so applying them twice changes nothing.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypedDict
from uuid import UUID

from webapp.addresses import number
from webapp.runs import events
from webapp.runs.models import Evaluation, Event, Run

NOTHING_SEEN: Final = -1
MAX_EVENTS: Final = 500
MAX_DOTS: Final = 2500
NEWEST_KEPT: Final = 200
DIGITS: Final = 4
SECOND_DIGITS: Final = 2


class Dots(TypedDict):
    """Scored candidates as columns, in the order in which they were scored. `number` counts from 1 and has gaps when dots were thinned.

    `at` is when, in seconds since the run began; `spent` the device seconds that all scores of the search have taken until then.
    """

    id: list[int]
    number: list[int]
    generation: list[int]
    index: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]
    at: list[float]
    spent: list[float]


class GenerationSummary(TypedDict):
    """The scores of one generation so far: how many, the best, their mean and standard deviation, and the mean of their numbers."""

    generation: int
    n: int
    best: float
    mean: float
    spread: float
    centre: float


class Reference(TypedDict):
    """A parent or a baseline on the search split."""

    id: int
    name: str
    kind: str
    mean: float
    low: float
    high: float
    n: int


class HeldOut(TypedDict):
    """Evolved candidates that were scored on the validation split too, as columns."""

    id: list[int]
    mean: list[float]


class Snapshot(TypedDict):
    """A run as the chart draws it. `best` holds the numbers of the candidates that were better than all before them: the first whose
    answers can be trusted is better than any whose answers cannot. `doubted` holds the numbers of the dots whose answers cannot.
    """

    type: Literal["snapshot"]
    seq: int
    state: str
    started: str | None
    spent: float
    budget: int
    n_scored: int
    best: list[int]
    best_fitness: float | None
    best_is_healthy: bool
    dots: Dots
    doubted: list[int]
    held_out: HeldOut
    generations: list[GenerationSummary]
    references: list[Reference]


class Events(TypedDict):
    """The events up to `seq` that a watcher has not seen, in order."""

    type: Literal["events"]
    seq: int
    events: list[events.EventMessage]


@dataclass(frozen=True)
class _Dot:
    id: int
    generation: int
    index: int
    fitness: float
    mean: float
    low: float
    high: float
    is_healthy: bool
    number: int
    at: float
    spent: float

    @property
    def standing(self) -> tuple[bool, float]:
        """What the best is chosen by."""
        return self.is_healthy, self.fitness


def catch_up(run_id: UUID, after: int) -> Snapshot | Events:
    """What a watcher lacks that has seen events up to `after`, or NOTHING_SEEN."""
    newest = newest_seq(run_id)
    if not newest - MAX_EVENTS <= after <= newest or after < 0:
        return snapshot(run_id)
    return new_events(run_id, after, newest)


def position(value: str) -> int:
    """The event number that a watcher names, or NOTHING_SEEN for whatever else it says."""
    found = number(value)
    return NOTHING_SEEN if found is None else found


def newest_seq(run_id: UUID) -> int:
    """The number of the run's newest event; 0 when there is none."""
    return int(Run.objects.values_list("next_seq", flat=True).get(pk=run_id)) - 1


def new_events(run_id: UUID, after: int, upto: int) -> Events:
    """The events after one number up to another."""
    rows = Event.objects.filter(run_id=run_id, seq__gt=after, seq__lte=upto).order_by("seq")
    return {"type": "events", "seq": upto, "events": [events.message(row) for row in rows]}


def snapshot(run_id: UUID) -> Snapshot:
    """All of the run; of very many dots every k-th, the newest, and each that was a best."""
    run = Run.objects.only("next_seq", "state", "budget", "started", "created").get(pk=run_id)
    dots, spent = _dots(run)
    best = _improvements(dots)
    drawn = _thinned(dots, best)
    return {
        "type": "snapshot",
        "seq": run.next_seq - 1,
        "state": run.state,
        "started": run.started.isoformat() if run.started else None,
        "spent": spent,
        "budget": run.budget,
        "n_scored": len(dots),
        "best": [dot.number for dot in best],
        "best_fitness": best[-1].fitness if best else None,
        "best_is_healthy": bool(best) and best[-1].is_healthy,
        "dots": _columns(drawn),
        "doubted": [dot.number for dot in drawn if not dot.is_healthy],
        "held_out": _held_out(run_id),
        "generations": _generations(dots),
        "references": _references(run_id),
    }


def _dots(run: Run) -> tuple[list[_Dot], float]:
    """The dots, and what all scores of the search have taken: those of parents and of snapshots, too."""
    done = Evaluation.objects.filter(run=run, split__in=("search", "validation"), status="done")
    rows = done.order_by("finished", "id").values_list(
        "split",
        "candidate__kind",
        "candidate_id",
        "candidate__generation__number",
        "candidate__index",
        "fitness",
        "mean",
        "low",
        "high",
        "is_healthy",
        "finished",
        "merge_seconds",
        "evaluate_seconds",
    )
    dots: list[_Dot] = []
    began, spent = run.started or run.created, 0.0
    for split, kind, pk, generation, index, fitness, mean, low, high, is_healthy, finished, merging, asking in rows:
        spent += (merging or 0.0) + (asking or 0.0)
        if split != "search" or kind != "evolved":
            continue
        score = fitness or 0.0, mean or 0.0, low or 0.0, high or 0.0, is_healthy
        at = (finished - began).total_seconds() if finished else 0.0
        dots.append(_Dot(pk, generation or 0, index, *score, len(dots) + 1, at, spent))
    return dots, round(spent, SECOND_DIGITS)


def _improvements(dots: Sequence[_Dot]) -> list[_Dot]:
    better: list[_Dot] = []
    for dot in dots:
        if not better or dot.standing > better[-1].standing:
            better.append(dot)
    return better


def _thinned(dots: Sequence[_Dot], best: Sequence[_Dot]) -> Sequence[_Dot]:
    if len(dots) <= MAX_DOTS:
        return dots
    step, always = math.ceil(len(dots) / MAX_DOTS), {dot.number for dot in best}
    newest = len(dots) - NEWEST_KEPT
    return [dot for dot in dots if dot.number % step == 0 or dot.number > newest or dot.number in always]


def _columns(dots: Sequence[_Dot]) -> Dots:
    return {
        "id": [dot.id for dot in dots],
        "number": [dot.number for dot in dots],
        "generation": [dot.generation for dot in dots],
        "index": [dot.index for dot in dots],
        "mean": [round(dot.mean, DIGITS) for dot in dots],
        "low": [round(dot.low, DIGITS) for dot in dots],
        "high": [round(dot.high, DIGITS) for dot in dots],
        "at": [round(dot.at, SECOND_DIGITS) for dot in dots],
        "spent": [round(dot.spent, SECOND_DIGITS) for dot in dots],
    }


def _held_out(run_id: UUID) -> HeldOut:
    scored = Evaluation.objects.filter(run_id=run_id, split="validation", status="done", candidate__kind="evolved")
    rows = list(scored.values_list("candidate_id", "mean"))
    return {"id": [pk for pk, _ in rows], "mean": [round(mean or 0.0, DIGITS) for _, mean in rows]}


def _generations(dots: Sequence[_Dot]) -> list[GenerationSummary]:
    by_generation: defaultdict[int, list[_Dot]] = defaultdict(list)
    for dot in dots:
        by_generation[dot.generation].append(dot)
    return [_summary(generation, members) for generation, members in sorted(by_generation.items())]


def _summary(generation: int, members: Sequence[_Dot]) -> GenerationSummary:
    n = len(members)
    mean = math.fsum(dot.mean for dot in members) / n
    spread = math.sqrt(math.fsum((dot.mean - mean) ** 2 for dot in members) / n)
    centre = sum(dot.number for dot in members) / n
    return {
        "generation": generation,
        "n": n,
        "best": round(max(dot.mean for dot in members), DIGITS),
        "mean": round(mean, DIGITS),
        "spread": round(spread, DIGITS),
        "centre": round(centre, 1),
    }


def _references(run_id: UUID) -> list[Reference]:
    scored = Evaluation.objects.filter(run_id=run_id, split="search", status="done").exclude(candidate__kind="evolved")
    return [
        {
            "id": row.candidate_id,
            "name": row.candidate.name,
            "kind": row.candidate.kind,
            "mean": row.mean or 0.0,
            "low": row.low or 0.0,
            "high": row.high or 0.0,
            "n": row.n or 0,
        }
        for row in scored.select_related("candidate").order_by("candidate__index")
    ]
