"""A finished run in one object: what `evolve --json` prints and scripts read. Reads rows only."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal, TypedDict

from webapp.runs import winners
from webapp.runs.board.standing import by_split
from webapp.runs.config import RunConfig
from webapp.runs.metrics import Metrics
from webapp.runs.models import REFERENCES, Candidate, Evaluation, Run
from webapp.runs.models import Score as ScoreRow


class Part(TypedDict):
    """What one benchmark contributed to a score. `metrics` are the same by the names of other reports, such as `acc` in any language and
    `acc_ja` in Japanese alone. `concerns` say why the answers cannot be trusted; empty when they can.
    """

    benchmark: str
    scorer: str
    mean: float
    n: int
    low: float
    high: float
    metrics: dict[str, float]
    concerns: list[str]


class Score(TypedDict):
    """A mean in [0, 1] over n samples with its 95 % interval: of several benchmarks, by their weights."""

    mean: float
    n: int
    low: float
    high: float
    is_estimate: bool
    is_healthy: bool
    parts: list[Part]


class Objective(TypedDict):
    """A benchmark of the run and how much it counts."""

    benchmark: str
    digest: str
    weight: float


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
    """Everything about a run that a script may ask for; seconds count from launch. `examined` is when the final exam ended, and `override`
    who allowed a search on a public test set, and when. `winner_by` is the split on which the winner is chosen: on validation, of the best
    of every generation. `steady`: generations were opened before the last candidates of the ones before were scored.
    """

    run: str
    state: str
    message: str
    seed: int
    steady: bool
    objectives: list[Objective]
    override: dict[str, str] | None
    examined: str | None
    seconds: float | None
    first_candidate_seconds: float | None
    parents: list[Scored]
    baselines: list[Scored]
    winner_by: Literal["search", "validation"]
    winner: Scored | None
    finalists: list[Scored]
    winner_recipe: dict[str, object] | None
    candidates: list[ScoredCandidate]


def report(run: Run) -> Report:
    """The report of `run` as it stands; complete once the run has ended."""
    config = RunConfig.from_json(run.config)
    metrics = Metrics(config)
    scored = run.evaluations.select_related("candidate__generation").prefetch_related("scores")
    evaluations = list(scored.order_by("rank", "id"))
    finalists = {
        e.candidate_id: e.candidate for e in evaluations if e.split == "final" and e.candidate.kind == "evolved"
    }
    references = run.candidates.filter(kind__in=REFERENCES).order_by("index")
    first = min((e.finished for e in evaluations if e.finished and e.candidate.kind == "evolved"), default=None)
    return {
        "run": str(run.pk),
        "state": run.state,
        "message": run.message,
        "seed": run.seed,
        "steady": config.steady,
        "objectives": [
            {"benchmark": o.spec.name, "digest": o.spec.digest, "weight": o.weight} for o in config.objectives
        ],
        "override": asdict(config.override) if config.override else None,
        "examined": run.examined.isoformat() if run.examined else None,
        "seconds": (run.ended - run.created).total_seconds() if run.ended else None,
        "first_candidate_seconds": (first - run.created).total_seconds() if first else None,
        "parents": [_scored(c, evaluations, metrics) for c in references if c.kind == "parent"],
        "baselines": [_scored(c, evaluations, metrics) for c in references if c.kind == "baseline"],
        "winner_by": "validation" if winners.by_validation(run) else "search",
        "winner": _scored(run.winner, evaluations, metrics) if run.winner else None,
        "finalists": [_scored(candidate, evaluations, metrics) for candidate in finalists.values()],
        "winner_recipe": run.winner.recipe if run.winner else None,
        "candidates": [
            _candidate(e, metrics) for e in evaluations if e.split == "search" and e.candidate.kind == "evolved"
        ],
    }


def _scored(candidate: Candidate, evaluations: list[Evaluation], metrics: Metrics) -> Scored:
    found = by_split(e for e in evaluations if e.candidate_id == candidate.pk)
    return {
        "name": candidate.name,
        "search": _score(found.get((candidate.pk, "search")), metrics),
        "validation": _score(found.get((candidate.pk, "validation")), metrics),
        "final": _score(found.get((candidate.pk, "final")), metrics),
    }


def _candidate(evaluation: Evaluation, metrics: Metrics) -> ScoredCandidate:
    candidate = evaluation.candidate
    return {
        "name": candidate.name,
        "generation": candidate.generation.number if candidate.generation else 0,
        "index": candidate.index,
        "genome": list(candidate.genome or ()),
        "status": evaluation.status,
        "fitness": evaluation.fitness,
        "search": _score(evaluation, metrics),
    }


def _score(evaluation: Evaluation | None, metrics: Metrics) -> Score | None:
    if evaluation is None or evaluation.mean is None:
        return None
    return {
        "mean": evaluation.mean,
        "n": evaluation.n or 0,
        "low": evaluation.low or 0.0,
        "high": evaluation.high or 0.0,
        "is_estimate": evaluation.is_estimate,
        "is_healthy": evaluation.is_healthy,
        "parts": [_part(score, metrics) for score in evaluation.scores.all()],
    }


def _part(score: ScoreRow, metrics: Metrics) -> Part:
    return {
        "benchmark": score.benchmark,
        "scorer": score.scorer,
        "mean": score.mean,
        "n": score.n,
        "low": score.low,
        "high": score.high,
        "metrics": dict(metrics.of(score)),
        "concerns": score.concerns,
    }
