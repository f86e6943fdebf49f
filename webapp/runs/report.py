"""A finished run in one object: what `evolve --json` prints and scripts read. Reads rows only."""

from __future__ import annotations

from typing import TypedDict

from webapp.runs.models import Candidate, Evaluation, Run


class Score(TypedDict):
    """A mean in [0, 1] over n samples with its 95 % interval."""

    mean: float
    n: int
    low: float
    high: float


class Scored(TypedDict):
    """One model and what it scored. A split that was not scored is None, never zero."""

    name: str
    search: Score | None
    validation: Score | None
    final: Score | None


class ScoredCandidate(TypedDict):
    """One evolved candidate; the genome is what the search proposed, exactly."""

    name: str
    generation: int
    index: int
    genome: list[float]
    status: str
    fitness: float | None
    search: Score | None


class Report(TypedDict):
    """Everything about a run that a script may ask for; seconds count from launch."""

    run: str
    state: str
    message: str
    seed: int
    seconds: float | None
    first_candidate_seconds: float | None
    parents: list[Scored]
    baselines: list[Scored]
    winner: Scored | None
    winner_recipe: dict[str, object] | None
    candidates: list[ScoredCandidate]


def report(run: Run) -> Report:
    """The report of `run` as it stands; complete once the run has ended."""
    evaluations = list(run.evaluations.select_related("candidate__generation").order_by("rank", "id"))
    references = run.candidates.filter(generation=None).order_by("index")
    first = min((e.finished for e in evaluations if e.finished and e.candidate.kind == "evolved"), default=None)
    return {
        "run": str(run.pk),
        "state": run.state,
        "message": run.message,
        "seed": run.seed,
        "seconds": (run.ended - run.created).total_seconds() if run.ended else None,
        "first_candidate_seconds": (first - run.created).total_seconds() if first else None,
        "parents": [_scored(c, evaluations) for c in references if c.kind == "parent"],
        "baselines": [_scored(c, evaluations) for c in references if c.kind == "baseline"],
        "winner": _scored(run.winner, evaluations) if run.winner else None,
        "winner_recipe": run.winner.recipe if run.winner else None,
        "candidates": [_candidate(e) for e in evaluations if e.split == "search" and e.candidate.kind == "evolved"],
    }


def _scored(candidate: Candidate, evaluations: list[Evaluation]) -> Scored:
    by_split = {e.split: e for e in evaluations if e.candidate_id == candidate.pk}
    return {
        "name": candidate.name,
        "search": _score(by_split.get("search")),
        "validation": _score(by_split.get("validation")),
        "final": _score(by_split.get("final")),
    }


def _candidate(evaluation: Evaluation) -> ScoredCandidate:
    candidate = evaluation.candidate
    return {
        "name": candidate.name,
        "generation": candidate.generation.number if candidate.generation else 0,
        "index": candidate.index,
        "genome": list(candidate.genome or ()),
        "status": evaluation.status,
        "fitness": evaluation.fitness,
        "search": _score(evaluation),
    }


def _score(evaluation: Evaluation | None) -> Score | None:
    if evaluation is None or evaluation.mean is None:
        return None
    return {
        "mean": evaluation.mean,
        "n": evaluation.n or 0,
        "low": evaluation.low or 0.0,
        "high": evaluation.high or 0.0,
    }
