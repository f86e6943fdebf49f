"""A model is asked by a plan: where fidelities meet benchmarks. And back: what stored outcomes say to the next plan.

Knows models only by what they promise.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from merging.benchmarks import Benchmark, Sample
from merging.engines import TextModel
from merging.errors import EvaluationError
from merging.evaluation import Evaluation, Progress, no_progress, summarise
from merging.fidelity.fidelity import Answers, Estimate, Plan, Pool, Positions, ask_by
from merging.outcomes import SampleOutcome


@dataclass(frozen=True)
class Asked:
    """What came of asking a model by a plan.

    `evaluations`, one for each benchmark, are what the search is told: their means, bounds and shares are the
    estimates', their outcomes and health those of the samples that were asked.
    """

    answers: Answers
    estimates: tuple[Estimate, ...]
    evaluations: tuple[Evaluation, ...]


def evaluate_by(
    plan: Plan, model: TextModel, benchmarks: Sequence[Benchmark], progress: Progress = no_progress
) -> Asked:
    """Ask search samples, block by block, until the plan stops. `benchmarks` stand in the order of the plan's pool."""
    started, pool = time.perf_counter(), plan.pool
    samples = [benchmark.take("search", part.n) for benchmark, part in zip(benchmarks, pool.parts, strict=True)]
    outcomes: list[list[SampleOutcome]] = [[] for _ in benchmarks]
    n_asked = 0

    def ask(block: Positions) -> Answers:
        nonlocal n_asked
        found: list[list[SampleOutcome]] = []
        for benchmark, of_part, positions in zip(benchmarks, samples, pool.by_part(block), strict=True):
            chosen = [of_part[position] for position in positions]
            tell = partial(_tell, progress, n_asked, plan.n_asked)
            found.append(benchmark.ask(model, chosen, tell) if chosen else [])
            n_asked += len(chosen)
        for kept, new in zip(outcomes, found, strict=True):
            kept += new
        return answers_of(pool, benchmarks, found).at(block)

    answers = ask_by(plan, ask)
    estimates, seconds = plan.estimate(answers), time.perf_counter() - started
    evaluations = tuple(
        told(summarise(benchmark, "search", kept, seconds * len(kept) / len(answers)), estimate)
        for benchmark, kept, estimate in zip(benchmarks, outcomes, estimates, strict=True)
    )
    return Asked(answers, estimates, evaluations)


def told(evaluation: Evaluation, estimate: Estimate) -> Evaluation:
    """The evaluation of what was asked, with the estimate's means and bounds; unchanged where nothing was estimated."""
    if not estimate.is_estimate:
        return evaluation
    return replace(
        evaluation,
        mean=estimate.mean,
        low=estimate.low,
        high=estimate.high,
        right=estimate.right,
        in_language=estimate.in_language,
    )


def answers_of(pool: Pool, benchmarks: Sequence[Benchmark], outcomes: Sequence[Sequence[SampleOutcome]]) -> Answers:
    """The answers that stored outcomes hold, by benchmark in the order of the pool. EvaluationError for another's sample."""
    rows: list[tuple[int, float, float, float | None]] = []
    for benchmark, part, found in zip(benchmarks, pool.ranges, outcomes, strict=True):
        places = {sample.id: (part.start + i, sample) for i, sample in enumerate(benchmark.take("search", len(part)))}
        for outcome in found:
            if outcome.id not in places:
                raise EvaluationError(
                    f"sample {outcome.id} is none of the {len(part)} search samples of {benchmark.name}"
                )
            position, sample = places[outcome.id]
            rows.append((position, outcome.score, float(outcome.right), _in_language(benchmark, sample, outcome)))
    return Answers(*map(tuple, zip(*rows, strict=True))) if rows else Answers()


def _tell(progress: Progress, before: int, of_all: int, done: int, of_block: int) -> None:
    progress("evaluate", before + done, of_all)


def _in_language(benchmark: Benchmark, sample: Sample, outcome: SampleOutcome) -> float | None:
    return float(outcome.language == sample.language) if benchmark.language_gate else None
