"""Where one candidate stands: its score on every split beside those of the parents and baselines, compared on the same samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from webapp.runs import outcomes
from webapp.runs.models import Candidate, Evaluation, Run, SplitName

SPLITS: Final[tuple[SplitName, ...]] = ("search", "validation", "final")
ROLES: Final = {"search": "optimised on this", "validation": "held out", "final": "held out, asked once"}


@dataclass(frozen=True)
class Cell:
    """A model on a split. `comparison` says how the candidate differs from this model; None for the candidate itself, or unscored."""

    split: SplitName
    evaluation: Evaluation | None
    comparison: outcomes.Comparison | None
    difference: float | None


@dataclass(frozen=True)
class Line:
    """One model on all splits."""

    candidate: Candidate
    is_subject: bool
    cells: list[Cell]


@dataclass(frozen=True)
class Standing:
    """The candidate first, then the parents and baselines. `best_parent` is the best one's evaluation by split."""

    lines: list[Line]
    own: dict[SplitName, Evaluation]
    best_parent: dict[SplitName, Evaluation]


def standing(run: Run, candidate: Candidate) -> Standing:
    """How `candidate` of `run` stands."""
    others = list(run.candidates.filter(generation=None).exclude(pk=candidate.pk).order_by("index"))
    models = [candidate, *others]
    found = {(e.candidate_id, e.split): e for e in Evaluation.objects.filter(candidate__in=models)}
    flags = outcomes.flags(e.pk for e in found.values() if e.status == "done")
    own = {split: found[candidate.pk, split] for split in SPLITS if (candidate.pk, split) in found}
    lines = [
        Line(model, model is candidate, [_cell(split, found.get((model.pk, split)), own, flags) for split in SPLITS])
        for model in models
    ]
    return Standing(lines, own, {split: best for split in SPLITS if (best := _best_parent(split, others, found))})


def _cell(
    split: SplitName, evaluation: Evaluation | None, own: dict[SplitName, Evaluation], flags: dict[int, outcomes.Flags]
) -> Cell:
    mine = own.get(split)
    if evaluation is None or mine is None or mine is evaluation or not {mine.pk, evaluation.pk} <= flags.keys():
        return Cell(split, evaluation, None, None)
    comparison = outcomes.compare(flags[mine.pk], flags[evaluation.pk])
    return Cell(split, evaluation, comparison, (mine.mean or 0.0) - (evaluation.mean or 0.0))


def _best_parent(split: str, others: list[Candidate], found: dict[tuple[int, str], Evaluation]) -> Evaluation | None:
    parents = [found[c.pk, split] for c in others if c.kind == "parent" and (c.pk, split) in found]
    for parent in parents:
        parent.candidate = next(c for c in others if c.pk == parent.candidate_id)
    return max((e for e in parents if e.status == "done"), key=lambda e: e.mean or 0.0, default=None)
