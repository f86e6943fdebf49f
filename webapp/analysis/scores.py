"""Several models on the same questions: what each scored, and how it differs from the first of them, split by split.

Only equal questions are compared: those of one benchmark, by its digest, that both were asked on the same split. Where there are none, it
is said what would have to be evaluated again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import fmean

from merging.statistics import Interval, correlation, interval_of, mover, paired_bootstrap, paired_mover
from merging.words import joined
from webapp.analysis.chosen import Side
from webapp.runs import outcomes
from webapp.runs.board.standing import SPLITS, by_split, scores_of
from webapp.runs.models import Evaluation, Score, SplitName
from webapp.runs.outcomes import Comparison, Marks


@dataclass(frozen=True)
class Difference:
    """How much better a model is than the first on the questions that both were asked, with its 95 % interval."""

    compared: Comparison
    low: float
    high: float


@dataclass(frozen=True)
class Part:
    """A model on one benchmark. `difference` is None for the first model, and without common questions."""

    score: Score
    marks: Marks
    difference: Difference | None = None


@dataclass(frozen=True)
class Cell:
    """A model on a split: all benchmarks together, and each of them by its digest."""

    split: SplitName
    evaluation: Evaluation | None
    parts: Mapping[str, Part] = field(default_factory=dict)
    difference: Difference | None = None

    @property
    def is_done(self) -> bool:
        return self.evaluation is not None and self.evaluation.status == "done"

    @property
    def is_under_way(self) -> bool:
        return self.evaluation is not None and self.evaluation.is_under_way


@dataclass(frozen=True)
class Line:
    """One model on all splits. `why` says why nothing of it can be compared with the first; empty where something can."""

    side: Side
    cells: list[Cell]
    why: str = ""

    def cell(self, split: str) -> Cell | None:
        """The model on one split."""
        return next((cell for cell in self.cells if cell.split == split), None)


@dataclass(frozen=True)
class Table:
    """The models in the order in which they were chosen; differences are from the first."""

    lines: list[Line]
    has_parts: bool

    @property
    def is_under_way(self) -> bool:
        """Something is still being evaluated."""
        return any(cell.is_under_way for line in self.lines for cell in line.cells)

    @property
    def splits(self) -> list[SplitName]:
        """Those on which any of the models has been scored."""
        return [split for split in SPLITS if any((cell := line.cell(split)) and cell.is_done for line in self.lines)]

    def benchmarks(self, split: str) -> dict[str, str]:
        """The names of the benchmarks on a split by their digests."""
        cells = [cell for line in self.lines if (cell := line.cell(split))]
        return {digest: part.score.benchmark for cell in cells for digest, part in cell.parts.items()}


def table(sides: Sequence[Side]) -> Table:
    """The scores of these models. Three queries, however many they are."""
    found = by_split(Evaluation.objects.filter(candidate__in=[side.candidate for side in sides]))
    done = [evaluation for evaluation in found.values() if evaluation.status == "done"]
    scores, cards = scores_of(done), outcomes.cards(evaluation.pk for evaluation in done)
    rows: list[list[Cell]] = []
    for side in sides:
        first = rows[0] if rows else None
        rows.append(
            [
                _cell(side, split, found, scores, cards, first[i] if first else None, sides[0])
                for i, split in enumerate(SPLITS)
            ]
        )
    lines = [Line(side, cells, _why(sides[0], rows[0], side, cells)) for side, cells in zip(sides, rows, strict=True)]
    n_benchmarks = len({digest for cells in rows for cell in cells for digest in cell.parts})
    return Table(lines, has_parts=n_benchmarks > 1)


def _cell(
    side: Side,
    split: SplitName,
    found: Mapping[tuple[int, str], Evaluation],
    scores: Mapping[int, Sequence[Score]],
    cards: Mapping[int, outcomes.Card],
    first: Cell | None,
    first_side: Side,
) -> Cell:
    evaluation = found.get((side.candidate.pk, split))
    if evaluation is None or evaluation.pk not in cards:
        return Cell(split, evaluation)
    own = zip(scores[evaluation.pk], cards[evaluation.pk], strict=True)
    parts = {score.digest: Part(score, marks) for score, marks in own}
    if first is None:
        return Cell(split, evaluation, parts)
    parts = {digest: _compared(part, first.parts.get(digest)) for digest, part in parts.items()}
    same = _weights(side) == _weights(first_side) and parts.keys() == first.parts.keys()
    return Cell(split, evaluation, parts, _overall(parts, first.parts, _weights(side)) if same else None)


def _weights(side: Side) -> dict[str, float]:
    """What each benchmark of a model's run counts."""
    total = math.fsum(side.config.weights)
    return {objective.spec.digest: objective.weight / total for objective in side.config.objectives}


def _compared(part: Part, first: Part | None) -> Part:
    difference = first and _difference(part.marks, first.marks)
    return Part(part.score, part.marks, difference) if difference else part


@lru_cache(maxsize=outcomes.COMPARED)
def _difference(marks: Marks, first: Marks) -> Difference | None:
    """None where no question was asked of both."""
    compared = outcomes.compare((marks,), (first,), (1.0,))
    if not compared.n:
        return None
    places = [place for place in marks.scores if place in first.scores]
    mine, other = ([each.scores[place] for place in places] for each in (marks, first))
    if not compared.is_exact:
        found = paired_bootstrap(mine, other)
        return Difference(compared, found.low, found.high)
    intervals = interval_of(mine, are_binary=True), interval_of(other, are_binary=True)
    reach = paired_mover((fmean(mine), fmean(other)), intervals, correlation(mine, other))
    return Difference(compared, reach.low, reach.high)


def _overall(parts: Mapping[str, Part], first: Mapping[str, Part], weights: Mapping[str, float]) -> Difference | None:
    """All benchmarks together, by their weights; None unless each has common questions."""
    known = [(part.difference, weights.get(digest)) for digest, part in parts.items()]
    both = [(difference, weight) for difference, weight in known if difference and weight]
    if len(both) < len(parts):
        return None
    if len(both) == 1:
        return both[0][0]
    compared = outcomes.compare(
        tuple(part.marks for part in parts.values()),
        tuple(first[digest].marks for digest in parts),
        tuple(weight for _, weight in both),
    )
    reach = mover(
        [difference.compared.difference for difference, _ in both],
        [Interval(difference.low, difference.high) for difference, _ in both],
        [weight for _, weight in both],
    )
    return Difference(compared, reach.low, reach.high)


def _why(first: Side, of_first: Sequence[Cell], side: Side, cells: Sequence[Cell]) -> str:
    """Why nothing can be compared, and what to do about it."""
    if side is first or any(cell.difference or any(p.difference for p in cell.parts.values()) for cell in cells):
        return ""
    done = [[cell for cell in row if cell.is_done] for row in (of_first, cells)]
    if not all(done):
        return f"{(side if done[0] else first).name} has no score yet."
    mine, other = (
        {digest: part.score.benchmark for cell in row for digest, part in cell.parts.items()} for row in done
    )
    if mine.keys() & other.keys():
        return f"{side.name} and {first.name} were scored on different splits, so no question was asked of both."
    named = [joined(list(dict.fromkeys(names.values()))) for names in (other, mine)]
    asked = "other questions of the same name" if named[0] == named[1] else named[0]
    return (
        f"{side.name} was asked {asked}, {first.name} {named[1]}: nothing was asked of both. "
        f"To compare them, use {side.name} as a parent of a run on {named[1]}: parents are asked every question there."
    )
