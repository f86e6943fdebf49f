"""Asking a model every sample and keeping what came of each: completion, extracted answer, language, score.

Knows models only by what they promise (`TextModel`); imports no torch. The same model, samples and machine give the
same evaluation but for its seconds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal, Protocol

from merging import plain
from merging.benchmarks import SPLITS, Benchmark, Sample, Split
from merging.engines import TextModel
from merging.errors import EvaluationError
from merging.health import Health, health_of
from merging.outcomes import SampleOutcome
from merging.statistics import interval_of

Stage = Literal["load", "merge", "evaluate", "write"]
Progress = Callable[[Stage, int, int], None]
"""Called with (stage, done, total) from the thread that computes; an exception that it raises ends the work."""

METRICS: Final = frozenset({"acc_norm", "acc_bytes", "acc_mutual_info", "exact_match"})


class Shares(Protocol):
    """What scores are named from: an evaluation, or what is stored of one."""

    @property
    def scorer(self) -> str: ...

    @property
    def mean(self) -> float: ...

    @property
    def right(self) -> float: ...


def no_progress(stage: Stage, done: int, total: int) -> None:
    """For callers that do not watch."""


@dataclass(frozen=True)
class Evaluation:
    """A model's score on `n` samples of a split: `mean` in [0, 1] with its 95 % interval, and every outcome.

    `right` is the share of right answers in whatever language; `in_language` that of completions in the expected
    language, None without a gate. `scorer` is name and version. `seconds` is wall time, model included. The outcomes
    stand in the order in which the samples were asked.
    """

    benchmark: str
    scorer: str
    split: Split
    n: int
    mean: float
    low: float
    high: float
    right: float
    in_language: float | None
    health: Health
    seconds: float
    outcomes: tuple[SampleOutcome, ...]

    def to_json(self) -> dict[str, object]:
        """Plain JSON types, the opposite of `from_json`."""
        return asdict(self) | {"outcomes": [outcome.to_json() for outcome in self.outcomes]}

    @staticmethod
    def from_json(value: object) -> Evaluation:
        """The evaluation that `to_json` wrote; EvaluationError names what is missing, unknown or wrong."""
        found = plain.fields(value, tuple(Evaluation.__dataclass_fields__), "the evaluation", EvaluationError)
        return Evaluation(
            benchmark=plain.text(found["benchmark"], "benchmark", EvaluationError),
            scorer=plain.text(found["scorer"], "scorer", EvaluationError),
            split=_split(found["split"]),
            n=plain.integer(found["n"], "n", EvaluationError),
            **{
                name: plain.real(found[name], name, EvaluationError)
                for name in ("mean", "low", "high", "right", "seconds")
            },
            health=Health.from_json(found["health"]),
            in_language=plain.optional_real(found["in_language"], "in_language", EvaluationError),
            outcomes=plain.items(found["outcomes"], "outcomes", EvaluationError, SampleOutcome.from_json),
        )


def evaluate(
    model: TextModel,
    benchmark: Benchmark,
    split: Split,
    n: int | None = None,
    progress: Progress = no_progress,
    positions: Sequence[int] | None = None,
) -> Evaluation:
    """Ask the model the first `n` samples of a split, all for None, or those at these `positions`, in that order."""
    started = time.perf_counter()
    samples = benchmark.take(split, n) if positions is None else _at(benchmark, split, positions)
    outcomes = benchmark.ask(model, samples, lambda done, total: progress("evaluate", done, total))
    return summarise(benchmark, split, outcomes, time.perf_counter() - started)


def summarise(benchmark: Benchmark, split: Split, outcomes: Sequence[SampleOutcome], seconds: float) -> Evaluation:
    """Mean, interval, shares and health over outcomes of samples of that split, at least one."""
    n = len(outcomes)
    scores = [outcome.score for outcome in outcomes]
    interval = interval_of(scores, benchmark.has_binary_scores)
    languages = {sample.id: sample.language for sample in benchmark.samples[split]} if benchmark.language_gate else {}
    n_in_language = sum(outcome.language == languages[outcome.id] for outcome in outcomes if languages)
    return Evaluation(
        benchmark=benchmark.name,
        scorer=benchmark.scorer,
        split=split,
        n=n,
        mean=math.fsum(scores) / n,
        low=interval.low,
        high=interval.high,
        right=sum(outcome.right for outcome in outcomes) / n,
        in_language=n_in_language / n if benchmark.language_gate else None,
        health=health_of(outcomes, languages),
        seconds=seconds,
        outcomes=tuple(outcomes),
    )


def named_scores(benchmark: Benchmark, scored: Shares) -> dict[str, float]:
    """The scores as reports name them: the metric first, then what is left of it behind a gate.

    `acc` is the share of right answers in whatever language, `acc_ja` that of right answers in Japanese (`acc_language`
    where languages are mixed). Scorers that are metrics elsewhere keep their name. Of fractions only the gated mean is
    known where there is a gate: `rougeL_ja`. The languages are those of the splits that are open.
    """
    scorer = scored.scorer.partition("@")[0].partition(",")[0]  # of a task of the harness without its filter
    metric = "acc" if benchmark.has_binary_scores and scorer not in METRICS else scorer
    if not benchmark.language_gate:
        return {metric: scored.mean}
    languages = {sample.language for samples in benchmark.samples.values() for sample in samples}
    gated = {f"{metric}_{languages.pop() if len(languages) == 1 else 'language'}": scored.mean}
    return {metric: scored.right} | gated if benchmark.has_binary_scores else gated


def _at(benchmark: Benchmark, split: Split, positions: Sequence[int]) -> tuple[Sample, ...]:
    found = benchmark.take(split)
    if not positions or len(set(positions)) < len(positions) or not 0 <= min(positions) <= max(positions) < len(found):
        raise EvaluationError(
            f"positions {list(positions)[:8]} of the {split} split of {benchmark.name}; expected at least one, each once, "
            f"from 0 to {len(found) - 1}"
        )
    return tuple(found[position] for position in positions)


def _split(value: object) -> Split:
    for split in SPLITS:
        if value == split:
            return split
    raise EvaluationError(f"the split is {value!r}; expected {', '.join(SPLITS)}")
