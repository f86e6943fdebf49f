"""Everybody in the race of a run, as one light line each: what a whole leaderboard filters, sorts and counts.

A run of ten thousand candidates is read in two queries, and kept until it has news.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from webapp.runs.kept import keep
from webapp.runs.models import CandidateKind, Evaluation, Run, Score

KEPT: Final = 4
"""Runs whose field is kept: some megabytes each where they are large."""
Point = tuple[float, ...]


class Result(NamedTuple):
    """A score on one split with its 95 % interval."""

    mean: float
    low: float
    high: float
    n: int
    is_estimate: bool


class Entry(NamedTuple):
    """One scored model; a tuple, because there are many. `evaluation` is that of its `search` score: on all search samples where there is
    one, else as the search was told. `parts` are that score by benchmark, where the run has several. `place` counts from 1 by fitness,
    parents and baselines among the candidates; 0 for a candidate whose answers cannot be trusted. `is_front`: nobody with a place is as
    good on every benchmark and better on one. `number` is the candidate's index in its generation, or in the run.
    """

    pk: int
    name: str
    kind: CandidateKind
    generation: int | None
    number: int
    evaluation: int
    fitness: float
    search: Result
    is_healthy: bool
    finished: datetime | None
    validation: Result | None = None
    final: Result | None = None
    parts: Point = ()
    place: int = 0
    is_front: bool = False


@dataclass(frozen=True)
class Field:
    """All entries: those with a place in its order, then the others by fitness."""

    entries: Sequence[Entry] = ()

    @property
    def n_scored(self) -> int:
        """Evolved candidates, ranked or not."""
        return sum(entry.kind == "evolved" for entry in self.entries)

    @property
    def n_ranked(self) -> int:
        """Evolved candidates that have a place."""
        return sum(entry.kind == "evolved" and entry.place > 0 for entry in self.entries)

    @property
    def n_front(self) -> int:
        return sum(entry.is_front for entry in self.entries)


_kept: dict[UUID, tuple[int, Field]] = {}


def field(run: Run) -> Field:
    """The field of a run, as of the event numbers that `run` knows or later."""
    seq, found = _kept.get(run.pk, (0, None))
    if found is None or seq != run.next_seq:
        found = _read(run)
        keep(_kept, {run.pk: (run.next_seq, found)}, KEPT)
    return found


def front(points: Sequence[Point]) -> set[Point]:
    """The points that no other dominates: as high in every coordinate, and higher in one."""
    found: list[Point] = []
    for point in sorted(
        set(points), key=lambda point: (-sum(point), point)
    ):  # a point is dominated by one of a higher sum
        if not any(_covers(other, point) for other in found):
            found.append(point)
    return set(found)


def _covers(other: Point, point: Point) -> bool:
    return all(theirs >= mine for theirs, mine in zip(other, point, strict=True))


def _read(run: Run) -> Field:
    entries = sorted(_entries(run), key=_place)
    n_ranked = sum(not _is_doubted(entry) for entry in entries)
    parts = _parts(run) if len(run.config.get("objectives", ())) > 1 else {}
    best = front([parts[entry.evaluation] for entry in entries[:n_ranked] if entry.evaluation in parts])
    found = []
    for place, entry in enumerate(entries, start=1):
        own = parts.get(entry.evaluation, ())
        is_ranked = place <= n_ranked
        found.append(_placed(entry, own, place if is_ranked else 0, is_ranked and own in best))
    return Field(found)


def _placed(entry: Entry, parts: Point, place: int, is_front: bool) -> Entry:
    """The entry with what comes of all entries together; `_replace` takes more than twice as long."""
    return Entry(
        entry.pk, entry.name, entry.kind, entry.generation, entry.number, entry.evaluation, entry.fitness, entry.search,
        entry.is_healthy, entry.finished, entry.validation, entry.final, parts, place, is_front,
    )  # fmt: skip


def _place(entry: Entry) -> tuple[bool, float, int, int]:
    """As on the short leaderboard."""
    generation = -1 if entry.generation is None else entry.generation
    return _is_doubted(entry), -entry.fitness, generation, entry.number


def _is_doubted(entry: Entry) -> bool:
    """Parents and baselines stand among the ranked all the same."""
    return not entry.is_healthy and entry.kind == "evolved"


def _entries(run: Run) -> list[Entry]:
    done = Evaluation.objects.filter(run=run, status="done").exclude(split="probe").order_by()
    of_candidate = (
        "candidate", "candidate__name", "candidate__kind", "candidate__generation__number", "candidate__index",
    )  # fmt: skip
    rows = done.values_list(
        *of_candidate, "pk", "fitness", "mean", "low", "high", "n", "is_estimate", "is_healthy", "finished", "split"
    )
    found: dict[str, dict[int, Entry]] = {"search": {}, "full": {}, "validation": {}, "final": {}}
    for pk, name, kind, generation, number, evaluation, fitness, *result, is_healthy, finished, split in rows:
        found[split][pk] = Entry(
            pk, name, kind, generation, number, evaluation, fitness or 0.0, Result(*result), is_healthy, finished
        )
    entries = found["search"] | {pk: entry for pk, entry in found["full"].items() if pk in found["search"]}
    for pk in found["validation"].keys() & entries.keys():
        entries[pk] = entries[pk]._replace(validation=found["validation"][pk].search)
    for pk in found["final"].keys() & entries.keys():
        entries[pk] = entries[pk]._replace(final=found["final"][pk].search)
    return list(entries.values())


def _parts(run: Run) -> dict[int, Point]:
    """By evaluation: the means on every benchmark, in the order of the run's objectives."""
    scores = Score.objects.filter(evaluation__run=run, evaluation__split__in=("search", "full"))
    found: dict[int, Point] = {}
    for pk, mean in scores.order_by("evaluation", "index").values_list("evaluation", "mean"):
        found[pk] = (*found.get(pk, ()), mean)
    return found
