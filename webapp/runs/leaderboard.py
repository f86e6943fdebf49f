"""The ranking of a run: its best candidates with parents and baselines among them, honest about what cannot be told apart.

Candidates are ordered by fitness on the search split, what the search maximises. Going down, a row shares the rank of the row that opened
its band unless McNemar's exact test on the same samples tells the two apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from django.db.models import QuerySet

from webapp.runs import outcomes
from webapp.runs.models import Candidate, Evaluation, Run

N_RANKED: Final = 50
N_SHOWN: Final = 12
WIDTH: Final = 100.0  # of an interval's picture, in its own units
SPLITS: Final = ("search", "validation", "final")


@dataclass(frozen=True)
class Bar:
    """An interval as a picture: where it begins, its width, its mean and the best parent, on one scale for all rows."""

    x: float
    width: float
    mean: float
    parent: float | None


@dataclass(frozen=True)
class Row:
    """One line. `rank` is a number, or the range that the rows of a band share: `3–9`, `3+` when it goes on below what is ranked."""

    candidate: Candidate
    rank: str
    opens_band: bool
    is_winner: bool
    search: Evaluation
    validation: Evaluation | None
    final: Evaluation | None
    bar: Bar


@dataclass(frozen=True)
class Board:
    """The rows; how many evolved candidates were scored, ranked and are among the rows."""

    rows: list[Row]
    n_scored: int
    n_ranked: int
    n_shown: int


def board(run: Run, n_scored: int, everything: bool = False) -> Board:
    """The leaderboard of `run` as its rows stand: parents, baselines and the best of the `n_scored` evolved candidates.

    The best `N_RANKED` are ranked; `N_SHOWN` of them are among the rows unless `everything` is asked for.
    """
    evolved = list(_search(run).filter(candidate__kind="evolved")[:N_RANKED])
    ranked = sorted([*evolved, *_search(run).exclude(candidate__kind="evolved")], key=_place)
    elsewhere = _elsewhere(run, [evaluation.candidate_id for evaluation in ranked])
    bands = _bands(ranked)
    bars = _bars(ranked)
    cut = _cut(ranked) if n_scored > len(evolved) else len(ranked)
    rows = [
        Row(
            candidate=evaluation.candidate,
            rank=_rank(bands, i, cut),
            opens_band=i == bands[i],
            is_winner=evaluation.candidate_id == run.winner_id,
            search=evaluation,
            validation=elsewhere.get((evaluation.candidate_id, "validation")),
            final=elsewhere.get((evaluation.candidate_id, "final")),
            bar=bars[i],
        )
        for i, evaluation in enumerate(ranked)
    ]
    hidden = set() if everything else {evaluation.candidate_id for evaluation in evolved[N_SHOWN:]}
    shown = [row for row in rows if row.candidate.pk not in hidden]
    return Board(shown, n_scored, len(evolved), len(evolved) - len(hidden))


def _search(run: Run) -> QuerySet[Evaluation]:
    done = Evaluation.objects.filter(run=run, split="search", status="done").select_related("candidate__generation")
    return done.defer("candidate__recipe", "candidate__genome").order_by(
        "-fitness", "candidate__generation__number", "candidate__index"
    )


def _place(evaluation: Evaluation) -> tuple[float, int, int]:
    generation = evaluation.candidate.generation
    return -(evaluation.fitness or 0.0), generation.number if generation else -1, evaluation.candidate.index


def _elsewhere(run: Run, candidates: Sequence[int]) -> dict[tuple[int, str], Evaluation]:
    scored = Evaluation.objects.filter(run=run, candidate__in=candidates, status="done").exclude(split="search")
    return {(evaluation.candidate_id, evaluation.split): evaluation for evaluation in scored}


def _bands(ranked: Sequence[Evaluation]) -> list[int]:
    """For every row the position of the row that opened its band."""
    flags = outcomes.flags(evaluation.pk for evaluation in ranked)
    bands: list[int] = []
    for i, evaluation in enumerate(ranked):
        opener = bands[-1] if bands else i
        same = bool(bands) and not _told_apart(flags, ranked[opener].pk, evaluation.pk)
        bands.append(opener if same else i)
    return bands


def _told_apart(flags: Mapping[int, outcomes.Flags], first: int, second: int) -> bool:
    return outcomes.compare(flags[first], flags[second]).is_clear


def _cut(ranked: Sequence[Evaluation]) -> int:
    """Where candidates that are not shown would stand: after the last one that is."""
    return 1 + max((i for i, evaluation in enumerate(ranked) if evaluation.candidate.kind == "evolved"), default=-1)


def _rank(bands: Sequence[int], i: int, cut: int) -> str:
    first, last = bands[i] + 1, bands[i] + bands.count(bands[i])
    if i >= cut:
        return f"> {cut}"
    if last >= cut < len(bands):
        return f"{first}+"
    return str(first) if first == last else f"{first}–{last}"


def _bars(ranked: Sequence[Evaluation]) -> list[Bar]:
    """One scale from the lowest to the highest bound of all rows."""
    if not ranked:
        return []
    low, high = min(e.low or 0.0 for e in ranked), max(e.high or 0.0 for e in ranked)
    parent = max((e.mean or 0.0 for e in ranked if e.candidate.kind == "parent"), default=None)

    def x(score: float | None) -> float:
        return round(WIDTH * ((score or 0.0) - low) / (high - low or 1.0), 2)

    return [
        Bar(x(e.low), round(x(e.high) - x(e.low), 2), x(e.mean), None if parent is None else x(parent)) for e in ranked
    ]
