"""What a run is scored on: benchmarks of the library, each with its weight and how many of its questions are asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from merging.benchmarks import BenchmarkSpec, Split
from merging.objectives import Objective, check_weight
from webapp.library.models import Benchmark
from webapp.runs.launching.problems import Field, Problems

SPLITS: Final[tuple[Split, ...]] = ("search", "validation", "final")


@dataclass(frozen=True)
class Measure:
    """A benchmark, how much it counts, and how many samples of each split an evaluation takes; None: all of them."""

    benchmark: Benchmark
    weight: float = 1.0
    n_search: int | None = None
    n_validation: int | None = None
    n_final: int | None = None

    def field(self, name: str) -> Field:
        """What a problem with one of these choices is filed under."""
        return f"{name}-{self.benchmark.pk}"


def public_tests(measures: Iterable[Measure]) -> list[Benchmark]:
    """The benchmarks whose search questions come from a public test set."""
    return [measure.benchmark for measure in measures if measure.benchmark.is_public_test]


def objectives(measures: Iterable[Measure], may_tune_on_tests: bool, problems: Problems) -> tuple[Objective, ...]:
    """What an evaluation takes of each benchmark; checked against what the benchmarks hold now. Empty when one cannot be read."""
    if not measures:
        problems.found["benchmarks"].append("no benchmark is chosen; expected at least one: it says what good means")
    for row in [] if may_tune_on_tests else public_tests(measures):
        problems.found["benchmarks"].append(
            f"the search questions of {row.title} are a public test set: a model that is tuned on them cannot be compared with "
            "others by them any more. Choose another benchmark, or tick that you search on it all the same"
        )
    found = [_objective(measure, problems) for measure in measures]
    return tuple(objective for objective in found if objective) if None not in found else ()


def _objective(measure: Measure, problems: Problems) -> Objective | None:
    """With something that can be counted on in place of what is wrong, so that the checks go on."""
    spec = BenchmarkSpec.from_json(measure.benchmark.spec)
    held = problems.catch("benchmarks", spec.sizes)
    if held is None:
        return None
    counts = {f"n_{split}": _count(measure, split, held[split], problems) for split in SPLITS}
    return Objective(spec, _weight(measure, problems), **counts)


def _weight(measure: Measure, problems: Problems) -> float:
    name = measure.field("weight")
    problems.catch(name, lambda: check_weight(measure.weight, measure.benchmark.title))
    return 1.0 if name in problems.found else measure.weight


def _count(measure: Measure, split: Split, held: int, problems: Problems) -> int:
    asked: int | None = getattr(measure, f"n_{split}")
    n = held if asked is None else asked
    if 1 <= n <= held:
        return n
    title = measure.benchmark.title
    sentence = f"{n} {split} questions; {title} holds {held}: expected 1 to {held}"
    problems.found[measure.field(f"n_{split}")].append(sentence)
    return held
