"""What stored scores are called elsewhere: `acc` and, behind a language gate, `acc_ja`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from merging.benchmarks import Benchmark, BenchmarkSpec
from merging.errors import MergingError
from merging.evaluation import named_scores
from webapp.runs.config import RunConfig
from webapp.runs.models import Score


class Metrics:
    """Names the scores of one run. Each of its benchmarks is read once, when the first of its scores is asked about."""

    def __init__(self, config: RunConfig) -> None:
        self._specs = [objective.spec for objective in config.objectives]
        self._read = cache(_read)

    def of(self, score: Score) -> Mapping[str, float]:
        """The score by metric, see `named_scores`; nothing when the benchmark cannot be read any more."""
        benchmark = self._read(self._specs[score.index])
        return named_scores(benchmark, score) if benchmark else {}


def _read(spec: BenchmarkSpec) -> Benchmark | None:
    try:
        return spec.load()
    except MergingError:
        return None
