"""The ranking of a run: its best candidates with parents and baselines among them, honest about what cannot be told apart.

Candidates are ordered by fitness on the search split, what the search maximises. Going down, a row shares the rank of the row that opened
its band unless a paired test on the same samples tells the two apart. Candidates whose answers cannot be trusted have no rank. The winner
and the best snapshot are shown wherever they stand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, Self

from django.db.models import Count, Q, QuerySet, Subquery

from merging.objectives import shares
from webapp.runs import outcomes, winners
from webapp.runs.board.standing import scores_of
from webapp.runs.config import Override, RunConfig
from webapp.runs.models import Candidate, Evaluation, Run, Score

N_RANKED: Final = 50
N_SHOWN: Final = 12
N_UNRANKED: Final = 5
WIDTH: Final = 100.0  # of an interval's picture, in its own units


@dataclass(frozen=True)
class Bar:
    """An interval as a picture: where it begins, its width, its mean and the best parent, on one scale for all rows."""

    x: float
    width: float
    mean: float
    parent: float | None


class Measured(Protocol):
    """Whatever has a mean and its interval, which nobody knows before it is scored."""

    @property
    def mean(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


@dataclass(frozen=True)
class Scale:
    """What intervals are drawn on: from the lowest to the highest bound of all, and where the best parent stands."""

    low: float
    high: float
    parent: float | None

    @classmethod
    def around(cls, scores: Sequence[Measured], parents: Iterable[Measured]) -> Self:
        """The scale that holds at least one score, with the best of these parents."""
        best = max((parent.mean or 0.0 for parent in parents), default=None)
        return cls(min(score.low or 0.0 for score in scores), max(score.high or 0.0 for score in scores), best)

    def bar(self, score: Measured) -> Bar:
        """The picture of one score."""
        parent = None if self.parent is None else self._x(self.parent)
        low = self._x(score.low)
        return Bar(low, round(self._x(score.high) - low, 2), self._x(score.mean), parent)

    def _x(self, score: float | None) -> float:
        return round(WIDTH * ((score or 0.0) - self.low) / (self.high - self.low or 1.0), 2)


@dataclass(frozen=True)
class Row:
    """One line. `rank` is a number, or the range that the rows of a band share: `3–9`, `3+` when it goes on below what is ranked; empty
    for a candidate that is not ranked. `estimate` is what the search was told of a candidate that has answered all samples since. `parts`
    are the search scores by benchmark, where there are several. `concerns` say why the answers cannot be trusted. `is_snapshot`: it is
    the best on validation of the best of every generation.
    """

    candidate: Candidate
    rank: str
    opens_band: bool
    is_winner: bool
    search: Evaluation
    validation: Evaluation | None
    final: Evaluation | None
    bar: Bar
    estimate: Evaluation | None = None
    parts: Sequence[Score] = ()
    concerns: Sequence[str] = ()
    is_snapshot: bool = False

    @property
    def error(self) -> float:
        """How far the estimate was from the score on all samples."""
        return (self.estimate.mean or 0.0) - (self.search.mean or 0.0) if self.estimate else 0.0

    @property
    def estimate_x(self) -> float:
        """Where the estimate stands on a scale from nothing to everything, in units of a picture."""
        return round(WIDTH * ((self.estimate.mean if self.estimate else None) or 0.0), 2)

    @property
    def truth_x(self) -> float:
        """Where the score on all samples stands on the same scale."""
        return round(WIDTH * (self.search.mean or 0.0), 2)

    @property
    def is_finalist(self) -> bool:
        return self.final is not None and self.candidate.kind == "evolved"


@dataclass(frozen=True)
class Column:
    """A benchmark among several: its name and its share of the mean."""

    name: str
    share: float


@dataclass(frozen=True)
class Board:
    """The rows; how many evolved candidates were scored, ranked and are among the rows. `unranked` are the best of the `n_unranked` whose
    answers cannot be trusted. `columns` is empty with one benchmark; with several, `parts` are the scores of every evaluation in the rows.
    `by_validation`: the winner is the best snapshot.
    """

    rows: list[Row]
    n_scored: int
    n_ranked: int
    n_shown: int
    n_finalists: int = 0
    unranked: list[Row] = field(default_factory=list)
    n_unranked: int = 0
    columns: Sequence[Column] = ()
    has_estimates: bool = False
    override: Override | None = None
    is_exact: bool = True
    parts: Mapping[int, Sequence[Score]] = field(default_factory=dict)
    by_validation: bool = False

    @property
    def examined(self) -> Row | None:
        """The winner, once its final score is known."""
        return next((row for row in [*self.rows, *self.unranked] if row.is_winner and row.final), None)

    @property
    def checked(self) -> list[Row]:
        """Finalists whose scores were estimates until they were asked all search samples."""
        return [row for row in [*self.rows, *self.unranked] if row.estimate]


def board(run: Run, n_scored: int, everything: bool = False) -> Board:
    """The leaderboard of `run` as its rows stand: parents, baselines and the best of the `n_scored` evolved candidates.

    The best `N_RANKED` are ranked; `N_SHOWN` of them are among the rows unless `everything` is asked for.
    """
    standing = list(_standing(run))
    elsewhere = _elsewhere(run, [evaluation.candidate_id for evaluation in standing])
    n_doubted: int = (standing[0].n_doubted or 0) if standing else 0  # type: ignore[attr-defined]
    stood = sorted((_in_full(evaluation, elsewhere) for evaluation in standing), key=_place)
    ranked = [e for e in stood if not _is_doubted(e)]
    unranked = [e for e in stood if _is_doubted(e)]
    n_doubted += len(unranked) - sum(map(_is_doubted, standing))  # as all answers tell, not as the search was told
    stood_evolved = [e for e in ranked if e.candidate.kind == "evolved"]
    evolved = stood_evolved[:N_RANKED]  # a winner or a snapshot may stand below
    if not stood:
        return Board([], n_scored, 0, 0, by_validation=winners.by_validation(run))
    config = RunConfig.from_json(run.config)
    cards = outcomes.cards(evaluation.pk for evaluation in ranked)
    openers = bands([evaluation.pk for evaluation in ranked], cards, config.weights)
    snapshot: int | None = standing[0].snapshot  # type: ignore[attr-defined]
    make = _Rows(run, [*ranked, *unranked], elsewhere, len(config.objectives) > 1, snapshot)
    goes_on = len(evolved) == N_RANKED and n_scored - n_doubted > N_RANKED
    cut = 1 + ranked.index(evolved[-1]) if goes_on else len(ranked)
    rows = [make.row(i, evaluation, rank(openers, i, cut), i == openers[i]) for i, evaluation in enumerate(ranked)]
    hidden = set() if everything else {evaluation.candidate_id for evaluation in stood_evolved[N_SHOWN:]}
    shown = [
        row for row in rows if row.candidate.pk not in hidden or row.is_finalist or row.is_winner or row.is_snapshot
    ]
    return Board(
        rows=shown,
        n_scored=n_scored,
        n_ranked=len(evolved),
        n_shown=sum(row.candidate.kind == "evolved" for row in shown),
        n_finalists=config.n_finalists,
        unranked=[make.row(len(ranked) + i, e, "", False) for i, e in enumerate(unranked)],
        n_unranked=n_doubted,
        columns=columns(config),
        has_estimates=any(row.estimate or row.search.is_estimate for row in rows),
        override=config.override,
        parts=make.parts if len(config.objectives) > 1 else {},
        by_validation=winners.by_validation(run),
        is_exact=len(config.objectives) == 1 and all(card[0].is_binary for card in cards.values()),
    )


def _is_doubted(evaluation: Evaluation) -> bool:
    """Whether its answers cannot be trusted; parents and baselines stand among the ranked all the same."""
    return not evaluation.is_healthy and evaluation.candidate.kind == "evolved"


def columns(config: RunConfig) -> list[Column]:
    """The benchmarks that stand beside their mean; none where there is one alone."""
    if len(config.objectives) == 1:
        return []
    of = zip(config.objectives, shares(config.weights), strict=True)
    return [Column(objective.spec.name, share) for objective, share in of]


class _Rows:
    """Makes the rows of these evaluations, with what is stored elsewhere about their candidates."""

    def __init__(
        self,
        run: Run,
        evaluations: Sequence[Evaluation],
        elsewhere: Mapping[tuple[int, str], Evaluation],
        with_parts: bool,
        snapshot: int | None,
    ) -> None:
        self._run, self._with_parts, self._elsewhere, self._snapshot = run, with_parts, elsewhere, snapshot
        self._bars = _bars(evaluations)
        asked = (
            [*evaluations, *self._elsewhere.values()] if with_parts else [e for e in evaluations if not e.is_healthy]
        )
        self.parts = scores_of(asked) if asked else {}

    def row(self, i: int, evaluation: Evaluation, rank: str, opens_band: bool) -> Row:
        parts = self.parts.get(evaluation.pk, [])
        return Row(
            candidate=evaluation.candidate,
            rank=rank,
            opens_band=opens_band,
            is_winner=evaluation.candidate_id == self._run.winner_id,
            search=evaluation,
            validation=self._elsewhere.get((evaluation.candidate_id, "validation")),
            final=self._elsewhere.get((evaluation.candidate_id, "final")),
            bar=self._bars[i],
            estimate=self._elsewhere.get((evaluation.candidate_id, "estimate")),
            parts=parts if self._with_parts else (),
            concerns=[concern for part in parts for concern in part.concerns],
            is_snapshot=evaluation.candidate_id == self._snapshot,
        )


def _standing(run: Run) -> QuerySet[Evaluation]:
    """The best evolved candidates, the winner and the best snapshot, the best of those that cannot be trusted and how many of these there
    are, and all parents and baselines.

    One query: a page that is asked for every second counts them.
    """
    best, doubted = _evolved(run, is_healthy=True)[:N_RANKED], _evolved(run, is_healthy=False)[:N_UNRANKED]
    snapshot = Subquery(winners.snapshots(run).values("candidate")[:1])
    chosen = ~Q(candidate__kind="evolved") | Q(pk__in=best.values("pk")) | Q(pk__in=doubted.values("pk"))
    chosen |= Q(candidate=run.winner_id) | Q(candidate=snapshot)
    n_doubted = _evolved(run, is_healthy=False).order_by().values("run").annotate(n=Count("pk")).values("n")
    found = _search(run).filter(chosen).annotate(n_doubted=Subquery(n_doubted), snapshot=snapshot)
    return found.select_related("candidate__generation").defer("candidate__recipe", "candidate__genome")


def _evolved(run: Run, is_healthy: bool) -> QuerySet[Evaluation]:
    evolved = _search(run).filter(candidate__kind="evolved", is_healthy=is_healthy)
    return evolved.order_by("-fitness", "candidate__generation__number", "candidate__index")


def _search(run: Run) -> QuerySet[Evaluation]:
    return Evaluation.objects.filter(run=run, split="search", status="done")


def _place(evaluation: Evaluation) -> tuple[float, int, int]:
    generation = evaluation.candidate.generation
    return -(evaluation.fitness or 0.0), generation.number if generation else -1, evaluation.candidate.index


def _in_full(evaluation: Evaluation, elsewhere: dict[tuple[int, str], Evaluation]) -> Evaluation:
    """The score on all search samples where there is one; the estimate is then kept elsewhere."""
    full = elsewhere.pop((evaluation.candidate_id, "full"), None)
    if full is None:
        return evaluation
    elsewhere[evaluation.candidate_id, "estimate"], full.candidate = evaluation, evaluation.candidate
    return full


def _elsewhere(run: Run, candidates: Sequence[int]) -> dict[tuple[int, str], Evaluation]:
    scored = Evaluation.objects.filter(run=run, candidate__in=candidates, status="done").exclude(split="search")
    return {(evaluation.candidate_id, evaluation.split): evaluation for evaluation in scored}


def bands(ranked: Sequence[int], cards: Mapping[int, outcomes.Card], weights: tuple[float, ...]) -> list[int]:
    """For every row the position of the row that opened its band. `ranked` are the rows by the numbers of their cards, the best first."""
    openers: list[int] = []
    for i, own in enumerate(ranked):
        opener = openers[-1] if openers else i
        same = bool(openers) and not outcomes.compare(cards[ranked[opener]], cards[own], weights).is_clear
        openers.append(opener if same else i)
    return openers


def rank(openers: Sequence[int], i: int, cut: int) -> str:
    """The rank of the row at `i` as it is shown; below `cut` rows nothing is known."""
    first, last = openers[i] + 1, openers[i] + openers.count(openers[i])
    if i >= cut:
        return f"> {cut}"
    if last >= cut < len(openers):
        return f"{first}+"
    return str(first) if first == last else f"{first}–{last}"


def _bars(ranked: Sequence[Evaluation]) -> list[Bar]:
    """One scale for all rows."""
    if not ranked:
        return []
    scale = Scale.around(ranked, [evaluation for evaluation in ranked if evaluation.candidate.kind == "parent"])
    return [scale.bar(evaluation) for evaluation in ranked]
