"""What a run maximises: one or several benchmarks with weights, and what their scores amount to together. No torch.

Directions are the metrics' own: every score is higher-is-better in [0, 1] by the time it comes here, so a weight is a positive number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from merging import plain
from merging.benchmarks import BenchmarkSpec, Split
from merging.errors import EvaluationError
from merging.evaluation import Evaluation
from merging.fidelity import Estimate
from merging.fitness import fitness
from merging.statistics import Interval, mover

FIELDS = ("benchmark", "weight", "n_search", "n_validation", "n_final")


@dataclass(frozen=True)
class Objective:
    """A benchmark, how much it counts against the others, and how many samples of each split an evaluation takes."""

    spec: BenchmarkSpec
    weight: float
    n_search: int
    n_validation: int
    n_final: int

    def __post_init__(self) -> None:
        check_weight(self.weight, self.spec.name)
        for split in ("search", "validation", "final"):
            if self.n(split) < 1:
                raise EvaluationError(
                    f"{self.n(split)} {split} samples of {self.spec.name}; an objective needs at least 1"
                )

    def n(self, split: Split) -> int:
        """How many samples of this split."""
        return {"search": self.n_search, "validation": self.n_validation, "final": self.n_final}[split]

    def to_json(self) -> dict[str, object]:
        """Plain JSON types, the opposite of `from_json`."""
        counts = {"n_search": self.n_search, "n_validation": self.n_validation, "n_final": self.n_final}
        return {"benchmark": self.spec.to_json(), "weight": self.weight, **counts}

    @staticmethod
    def from_json(value: object, what: str = "the objective") -> Objective:
        """The objective that `to_json` wrote; EvaluationError names what is missing, unknown or wrong."""
        found = plain.fields(value, FIELDS, what, EvaluationError)
        return Objective(
            spec=BenchmarkSpec.from_json(found["benchmark"]),
            weight=plain.real(found["weight"], f"weight of {what}", EvaluationError),
            **{name: plain.integer(found[name], f"{name} of {what}", EvaluationError) for name in FIELDS[2:]},
        )


@dataclass(frozen=True)
class Combined:
    """A weighted mean of scores with its 95 % interval."""

    mean: float
    low: float
    high: float


def check_weight(weight: float, name: str) -> None:
    """EvaluationError unless the weight is a positive, finite number."""
    if not (math.isfinite(weight) and weight > 0):
        raise EvaluationError(
            f"the weight of {name} is {weight:g}; expected a number above 0: more is better on every benchmark already, "
            "and one that should not count is left out"
        )


def shares(weights: Sequence[float]) -> tuple[float, ...]:
    """The weights as shares of 1; a single one is exactly 1."""
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)


def combine(parts: Sequence[Combined | Evaluation], weights: Sequence[float]) -> Combined:
    """The mean of the parts' means by weight, with an interval from the parts' own; one part is itself, exactly.

    The parts are asked different samples, so they vary independently: see `mover`.
    """
    _check_parts(len(parts), weights)
    if len(parts) == 1:  # where mean - (mean - low) would differ from low in the last bit
        return Combined(parts[0].mean, parts[0].low, parts[0].high)
    interval = mover([part.mean for part in parts], [Interval(part.low, part.high) for part in parts], weights)
    mean = math.fsum(share * part.mean for share, part in zip(shares(weights), parts, strict=True))
    return Combined(mean, max(0.0, interval.low), min(1.0, interval.high))


def combined_fitness(evaluations: Sequence[Evaluation], weights: Sequence[float]) -> float:
    """The mean of the benchmarks' fitnesses by weight: with one benchmark its fitness, exactly. See `fitness` for what is refused."""
    _check_parts(len(evaluations), weights)
    return math.fsum(share * fitness(part) for share, part in zip(shares(weights), evaluations, strict=True))


def estimated(evaluation: Evaluation, estimate: Estimate) -> Evaluation:
    """The evaluation of the samples that were asked, with what is estimated of all samples in place of their shares."""
    return replace(
        evaluation,
        mean=estimate.mean,
        low=estimate.low,
        high=estimate.high,
        right=estimate.right,
        in_language=estimate.in_language,
    )


def _check_parts(n: int, weights: Sequence[float]) -> None:
    if n < 1 or n != len(weights):
        raise EvaluationError(f"{n} scores and {len(weights)} weights; expected as many of both, at least one")
    for weight in weights:
        check_weight(weight, "a benchmark")
