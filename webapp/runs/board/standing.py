"""Where one candidate stands: its score on every split beside those of the parents and baselines, compared on the same samples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from webapp.runs import outcomes, winners
from webapp.runs.config import RunConfig
from webapp.runs.metrics import Metrics
from webapp.runs.models import REFERENCES, Candidate, Evaluation, Run, Score, SplitName

SPLITS: Final[tuple[SplitName, ...]] = ("search", "validation", "final")


@dataclass(frozen=True)
class Cell:
    """A model on a split. `parts` are its scores by benchmark, where the run has several. `comparison` says how the candidate differs from
    this model on the samples that both were asked; None for the candidate itself, or unscored. `gated` are the candidate's own scores by
    metric where a gate asks for a language: without it, then with it.
    """

    split: SplitName
    evaluation: Evaluation | None
    parts: Sequence[Score]
    comparison: outcomes.Comparison | None
    gated: Sequence[tuple[Score, Mapping[str, float]]] = ()


@dataclass(frozen=True)
class Line:
    """One model on all splits."""

    candidate: Candidate
    is_subject: bool
    cells: list[Cell]


@dataclass(frozen=True)
class Standing:
    """The candidate first, then those that it is compared with. `best_parent` is the best parent's evaluation by split; `parts` are the
    scores of every done evaluation, by benchmark. `by_validation`: the run's winner is chosen on the validation split.
    """

    lines: list[Line]
    own: dict[SplitName, Evaluation]
    best_parent: dict[SplitName, Evaluation]
    parts: dict[int, list[Score]]
    by_validation: bool

    @property
    def concerns(self) -> list[tuple[SplitName, str]]:
        """Why the candidate's answers cannot be trusted, by split; empty when they can."""
        return [
            (split, concern)
            for split, evaluation in self.own.items()
            for part in self.parts.get(evaluation.pk, ())
            for concern in part.concerns
        ]

    @property
    def is_exact(self) -> bool:
        """Every comparison is of McNemar's exact test."""
        compared = [cell.comparison for line in self.lines for cell in line.cells if cell.comparison]
        return all(comparison.is_exact for comparison in compared)


def standing(run: Run, candidate: Candidate, others: Sequence[Candidate] | None = None) -> Standing:
    """How `candidate` of `run` stands beside these others; None are its parents and baselines."""
    if others is None:
        others = list(run.candidates.filter(kind__in=REFERENCES).exclude(pk=candidate.pk).order_by("index"))
    models = [candidate, *others]
    found = by_split(Evaluation.objects.filter(candidate__in=models))
    own = {split: found[candidate.pk, split] for split in SPLITS if (candidate.pk, split) in found}
    parts = scores_of(found.values())
    cells = _Cells(RunConfig.from_json(run.config), own, parts, found)
    lines = [Line(model, model is candidate, [cells.of(model, split) for split in SPLITS]) for model in models]
    best_parent = {split: best for split in SPLITS if (best := _best_parent(split, others, found))}
    return Standing(lines, own, best_parent, parts, winners.by_validation(run))


def by_split(evaluations: Iterable[Evaluation]) -> dict[tuple[int, str], Evaluation]:
    """By candidate and split. A score on all search samples stands in place of an estimate from some of them; a probe has no other."""
    found = {(e.candidate_id, e.split): e for e in evaluations}
    full = {(pk, "search"): e for (pk, split), e in found.items() if split == "full" and e.status == "done"}
    full |= {(pk, "search"): e for (pk, split), e in found.items() if split == "probe"}
    return {key: e for key, e in (found | full).items() if key[1] in SPLITS}


def scores_of(evaluations: Iterable[Evaluation | int]) -> dict[int, list[Score]]:
    """The scores of these evaluations, or of those with these numbers, by benchmark in the order of the run's objectives. One query."""
    found: defaultdict[int, list[Score]] = defaultdict(list)
    for score in Score.objects.filter(evaluation__in=list(evaluations)).order_by("index"):
        found[score.evaluation_id].append(score)
    return dict(found)


class _Cells:
    """Makes the cells of the table, each with how the candidate's `own` evaluation compares."""

    def __init__(
        self,
        config: RunConfig,
        own: dict[SplitName, Evaluation],
        parts: dict[int, list[Score]],
        found: dict[tuple[int, str], Evaluation],
    ) -> None:
        self._weights, self._own, self._parts, self._found = config.weights, own, parts, found
        self._metrics = Metrics(config)
        self._cards = outcomes.cards(e.pk for e in found.values() if e.status == "done")

    def of(self, model: Candidate, split: SplitName) -> Cell:
        evaluation, mine = self._found.get((model.pk, split)), self._own.get(split)
        parts = self._parts.get(evaluation.pk, []) if evaluation and len(self._weights) > 1 else []
        if (
            evaluation is None
            or mine is None
            or mine is evaluation
            or not {mine.pk, evaluation.pk} <= self._cards.keys()
        ):
            return Cell(split, evaluation, parts, None, self._gated(mine) if mine is evaluation else ())
        comparison = outcomes.compare(self._cards[mine.pk], self._cards[evaluation.pk], self._weights)
        return Cell(split, evaluation, parts, comparison)

    def _gated(self, mine: Evaluation | None) -> list[tuple[Score, Mapping[str, float]]]:
        scores = self._parts.get(mine.pk, []) if mine else []
        named = [(score, self._metrics.of(score)) for score in scores if score.in_language is not None]
        return [(score, metrics) for score, metrics in named if len(metrics) > 1]


def _best_parent(
    split: str, others: Sequence[Candidate], found: dict[tuple[int, str], Evaluation]
) -> Evaluation | None:
    parents = [found[c.pk, split] for c in others if c.kind == "parent" and (c.pk, split) in found]
    for parent in parents:
        parent.candidate = next(c for c in others if c.pk == parent.candidate_id)
    return max((e for e in parents if e.status == "done"), key=lambda e: e.mean or 0.0, default=None)
