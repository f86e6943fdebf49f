"""Question by question: which of several models has which right, and what each of them answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from merging.benchmarks import BenchmarkSpec, Sample, Split
from merging.outcomes import SampleOutcome
from webapp.analysis.chosen import Side
from webapp.analysis.scores import Part
from webapp.runs import answers, outcomes
from webapp.runs.models import Outcomes

Show = Literal["differ", "gained", "lost", "all right", "none right", "all"]
SHOWN: Final[tuple[Show, ...]] = get_args(Show)


@dataclass(frozen=True)
class Said:
    """What one model answered."""

    side: Side
    outcome: SampleOutcome

    @property
    def is_right(self) -> bool:
        return outcomes.is_right(self.outcome.score)

    @property
    def is_partial(self) -> bool:
        """Its score is neither nothing nor everything."""
        return 0 < self.outcome.score < 1


@dataclass(frozen=True)
class Question:
    """One question that all were asked; `sample` is None when the benchmark cannot be read any more."""

    number: int
    sample: Sample | None
    said: list[Said]

    @property
    def differs(self) -> bool:
        """Not all of them scored the same."""
        return len({each.outcome.score for each in self.said}) > 1

    def is_in(self, show: Show) -> bool:
        """Whether a filter lets it through. Gained and lost are from the first model to any of the others."""
        first, *others = (each.outcome.score for each in self.said)
        rights = [each.is_right for each in self.said]
        return {
            "differ": self.differs,
            "gained": max(others) > first,
            "lost": min(others) < first,
            "all right": all(rights),
            "none right": not any(rights),
            "all": True,
        }[show]


@dataclass(frozen=True)
class Browser:
    """The questions of one benchmark and split that all of `sides` were asked; `problem` says why they cannot be read, if so."""

    sides: list[Side]
    questions: list[Question]
    problem: str

    def count(self, show: Show) -> int:
        """How many questions a filter lets through."""
        return sum(question.is_in(show) for question in self.questions)


@dataclass(frozen=True)
class Agreement:
    """How many of the questions that all were asked each has right, and how many each has right that another has wrong."""

    n: int
    n_all: int
    n_none: int
    rows: list[tuple[Side, list[tuple[Side, int]]]]
    """For each model, beside each: on the diagonal what it has right, elsewhere what it has right and the other has wrong."""


def agreement(parts: Sequence[tuple[Side, Part]]) -> Agreement | None:
    """The agreement of at least two models on one benchmark; None where no question was asked of all."""
    if len(parts) < 2:
        return None
    places = _common(parts)
    rights = [[outcomes.is_right(part.marks.scores[place]) for place in places] for _, part in parts]
    if not places:
        return None
    rows = [
        (side, [(other, _n_more(rights[i], rights[j], i == j)) for j, (other, _) in enumerate(parts)])
        for i, (side, _) in enumerate(parts)
    ]
    columns = list(zip(*rights, strict=True))
    return Agreement(len(places), sum(map(all, columns)), sum(not any(column) for column in columns), rows)


def browser(parts: Sequence[tuple[Side, Part]], spec: BenchmarkSpec, split: Split, key: str | None) -> Browser:
    """What these models answered to the questions that all of them were asked. `key` opens a final split that is sealed."""
    samples, problem = answers.samples(spec, split, key)
    rows = Outcomes.objects.in_bulk([part.score.pk for _, part in parts])
    said: list[Mapping[int, SampleOutcome]] = [
        dict(zip(outcomes.places(row), outcomes.unpacked(row), strict=True))
        for row in (rows[part.score.pk] for _, part in parts)
    ]
    sides = [side for side, _ in parts]
    questions = [
        Question(
            number=place + 1,
            sample=samples.get(said[0][place].id),
            said=[Said(side, of_side[place]) for side, of_side in zip(sides, said, strict=True)],
        )
        for place in _common(parts)
    ]
    return Browser(sides, questions, problem)


def _common(parts: Sequence[tuple[Side, Part]]) -> list[int]:
    return sorted(set.intersection(*(set(part.marks.scores) for _, part in parts)))


def _n_more(mine: Sequence[bool], other: Sequence[bool], is_same: bool) -> int:
    return sum(mine) if is_same else sum(a and not b for a, b in zip(mine, other, strict=True))
