"""Every question of a split with what a candidate answered, what the best parent made of the same, and who else could."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import Final, Literal, get_args

from merging.benchmarks import BenchmarkSpec, Sample, Split
from merging.errors import MergingError
from merging.health import LIMITS, health_of
from merging.outcomes import SampleOutcome
from webapp.runs import outcomes
from webapp.runs.models import Outcomes, Score

Show = Literal["all", "right", "wrong", "gained", "lost", "both-wrong", "only-this"]
SHOWN: Final[tuple[Show, ...]] = get_args(Show)
COMPARED: Final[tuple[Show, ...]] = ("gained", "lost", "both-wrong", "only-this")
"""What can be shown only beside another model."""
WORDS: Final[dict[Show, str]] = {"both-wrong": "both wrong", "only-this": "only this one"}
"""Where the name is not what pages say."""


@dataclass(frozen=True)
class Answer:
    """One question. `sample` is None when the benchmark cannot be read any more; `other` is what the parent answered. `is_only`: no parent
    and no baseline got it right.
    """

    number: int
    sample: Sample | None
    outcome: SampleOutcome
    is_right: bool
    other: SampleOutcome | None
    other_is_right: bool | None
    is_only: bool

    @property
    def is_partial(self) -> bool:
        """Its score is neither nothing nor everything."""
        return 0 < self.outcome.score < 1

    def is_in(self, show: Show) -> bool:
        """Whether a filter lets it through."""
        if show in ("gained", "lost"):
            theirs, mine = (self.other.score, self.outcome.score) if self.other else (0.0, 0.0)
            return mine > theirs if show == "gained" else mine < theirs
        if show == "both-wrong":
            return not self.is_right and self.other_is_right is False
        if show == "only-this":
            return self.is_right and self.is_only
        return show == "all" or self.is_right == (show == "right")


@dataclass(frozen=True)
class Tokens:
    """Lengths of completions in tokens."""

    least: int
    middle: int
    most: int


@dataclass(frozen=True)
class Answers:
    """The answers on one benchmark; `problem` says why the questions cannot be shown, if so."""

    answers: list[Answer]
    problem: str

    @property
    def n_tokens(self) -> Tokens | None:
        """How long the completions are; None where none is counted."""
        counts = sorted(answer.outcome.n_tokens for answer in self.answers)
        return Tokens(counts[0], int(median(counts)), counts[-1]) if counts else None

    def unsound(self, n: int) -> list[Answer]:
        """The first `n` answers that are bad as such: empty, cut, in a loop, in another language, not read or not judged."""
        return list(islice(filter(_is_unsound, self.answers), n))

    def count(self, show: Show) -> int:
        """How many answers a filter lets through."""
        return sum(answer.is_in(show) for answer in self.answers)


def answers(
    spec: BenchmarkSpec, split: Split, own: Score, parent: Score | None, rivals: Sequence[Score], key: str | None
) -> Answers:
    """What `own` answered, beside what `parent` answered to the same questions. `rivals` are the scores of all parents and baselines.
    `key` opens a final split that is sealed.
    """
    questions, problem = samples(spec, split, key)
    rows = Outcomes.objects.in_bulk([own.pk, *([parent.pk] if parent else [])])
    others = {outcome.id: outcome for outcome in outcomes.unpacked(rows[parent.pk])} if parent else {}
    mine = zip(outcomes.places(rows[own.pk]), outcomes.unpacked(rows[own.pk]), strict=True)
    known = _right_places(rivals)
    return Answers([_answer(place, outcome, questions, others, known) for place, outcome in mine], problem)


def _answer(
    place: int,
    mine: SampleOutcome,
    questions: dict[str, Sample],
    others: dict[str, SampleOutcome],
    known: Container[int],
) -> Answer:
    other = others.get(mine.id)
    other_is_right = None if other is None else outcomes.is_right(other.score)
    is_right = outcomes.is_right(mine.score)
    return Answer(place + 1, questions.get(mine.id), mine, is_right, other, other_is_right, place not in known)


def _is_unsound(answer: Answer) -> bool:
    language = answer.sample.language if answer.sample else None
    health = health_of([answer.outcome], {answer.outcome.id: language} if language else {})
    return any(getattr(health, name) for name in LIMITS)


def _right_places(rivals: Sequence[Score]) -> set[int]:
    """Where in the split any of these is right."""
    cards = outcomes.cards(score.evaluation_id for score in rivals)
    marks = [cards[score.evaluation_id][score.index] for score in rivals]
    return {place for mark in marks for place, score in mark.scores.items() if outcomes.is_right(score)}


def samples(spec: BenchmarkSpec, split: Split, key: str | None) -> tuple[dict[str, Sample], str]:
    """The questions of a split by id, and why they cannot be shown, if so."""
    try:
        found = spec.load(key).take(split)
    except MergingError as error:
        return {}, f"The questions cannot be shown: {error}"
    return {sample.id: sample for sample in found}, ""
