"""Every question of a split with what a candidate answered, and what the best parent made of the same question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from merging.benchmarks import BenchmarkSpec, Sample
from merging.errors import MergingError
from merging.evaluation import SampleOutcome
from webapp.runs import outcomes
from webapp.runs.models import Evaluation, Outcomes

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

    def is_in(self, show: Show) -> bool:
        """Whether a filter lets it through."""
        if show == "gained":
            return self.is_right and self.other_is_right is False
        if show == "lost":
            return not self.is_right and self.other_is_right is True
        return show == "all" or self.is_right == (show == "right")


@dataclass(frozen=True)
class Answers:
    """The answers of one evaluation; `problem` says why the questions cannot be shown, if so."""

    answers: list[Answer]
    problem: str

    def count(self, show: Show) -> int:
        """How many answers a filter lets through."""
        return sum(answer.is_in(show) for answer in self.answers)


def answers(spec: BenchmarkSpec, own: Evaluation, parent: Evaluation | None) -> Answers:
    """What `own` answered, beside what `parent` answered to the same questions."""
    samples, problem = _samples(spec, own)
    rows = dict(Outcomes.objects.filter(pk__in=[own.pk, parent.pk if parent else own.pk]).values_list("pk", "samples"))
    mine = _outcomes(rows[own.pk])
    others = {outcome.id: outcome for outcome in _outcomes(rows[parent.pk])} if parent else {}
    return Answers([_answer(i, outcome, samples, others) for i, outcome in enumerate(mine, 1)], problem)


def _answer(number: int, mine: SampleOutcome, samples: dict[str, Sample], others: dict[str, SampleOutcome]) -> Answer:
    other = others.get(mine.id)
    other_is_right = None if other is None else other.score >= outcomes.FULL_SCORE
    return Answer(number, samples.get(mine.id), mine, mine.score >= outcomes.FULL_SCORE, other, other_is_right)


def _outcomes(rows: Sequence[object]) -> list[SampleOutcome]:
    return [SampleOutcome.from_json(row) for row in rows]


def _samples(spec: BenchmarkSpec, evaluation: Evaluation) -> tuple[dict[str, Sample], str]:
    try:
        found = spec.load().samples[evaluation.split]  # type: ignore[index]
    except MergingError as error:
        return {}, f"The questions cannot be shown: {error}"
    return {sample.id: sample for sample in found}, ""
