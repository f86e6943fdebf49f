"""Every question of a split with what a candidate answered, and what the best parent made of the same question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from merging.benchmarks import BenchmarkSpec, Sample, Split
from merging.errors import MergingError
from merging.outcomes import SampleOutcome
from webapp.runs import outcomes
from webapp.runs.models import Outcomes, Score

Show = Literal["all", "right", "wrong", "gained", "lost"]
SHOWN: Final[tuple[Show, ...]] = get_args(Show)


@dataclass(frozen=True)
class Answer:
    """One question. `sample` is None when the benchmark cannot be read any more; `other` is what the parent answered."""

    number: int
    sample: Sample | None
    outcome: SampleOutcome
    is_right: bool
    other: SampleOutcome | None
    other_is_right: bool | None

    @property
    def is_partial(self) -> bool:
        """Its score is neither nothing nor everything."""
        return 0 < self.outcome.score < 1

    def is_in(self, show: Show) -> bool:
        """Whether a filter lets it through."""
        if show in ("gained", "lost"):
            theirs, mine = (self.other.score, self.outcome.score) if self.other else (0.0, 0.0)
            return mine > theirs if show == "gained" else mine < theirs
        return show == "all" or self.is_right == (show == "right")


@dataclass(frozen=True)
class Answers:
    """The answers on one benchmark; `problem` says why the questions cannot be shown, if so."""

    answers: list[Answer]
    problem: str

    def count(self, show: Show) -> int:
        """How many answers a filter lets through."""
        return sum(answer.is_in(show) for answer in self.answers)


def answers(spec: BenchmarkSpec, split: Split, own: Score, parent: Score | None, key: str | None) -> Answers:
    """What `own` answered, beside what `parent` answered to the same questions. `key` opens a final split that is sealed."""
    samples, problem = _samples(spec, split, key)
    rows = Outcomes.objects.in_bulk([own.pk, *([parent.pk] if parent else [])])
    others = {outcome.id: outcome for outcome in outcomes.unpacked(rows[parent.pk])} if parent else {}
    mine = zip(outcomes.places(rows[own.pk]), outcomes.unpacked(rows[own.pk]), strict=True)
    return Answers([_answer(place + 1, outcome, samples, others) for place, outcome in mine], problem)


def _answer(number: int, mine: SampleOutcome, samples: dict[str, Sample], others: dict[str, SampleOutcome]) -> Answer:
    other = others.get(mine.id)
    other_is_right = None if other is None else outcomes.is_right(other.score)
    return Answer(number, samples.get(mine.id), mine, outcomes.is_right(mine.score), other, other_is_right)


def _samples(spec: BenchmarkSpec, split: Split, key: str | None) -> tuple[dict[str, Sample], str]:
    try:
        found = spec.load(key).take(split)
    except MergingError as error:
        return {}, f"The questions cannot be shown: {error}"
    return {sample.id: sample for sample in found}, ""
