"""What came of a trial, as its row keeps it and its page shows it. Knows no rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from merging.health import is_repeated
from merging.outcomes import RIGHT_FROM


@dataclass(frozen=True)
class Question:
    """One question: `prompt` is what the model read, its chat template included, and `completion` what it said, as it came.

    `extracted` is what the scorer read in that, None for nothing; `expected` the right answer, in `language` if that is asked for, and
    `spoken` the language that was detected. `error` says why there is no score.
    """

    prompt: str
    completion: str
    extracted: str | None
    expected: str
    language: str | None
    spoken: str | None
    right: bool
    score: float
    finished: bool
    seconds: float
    error: str | None

    @property
    def counts(self) -> bool:
        """With a language gate the right answer in another language does not."""
        return self.score >= RIGHT_FROM

    @property
    def is_partial(self) -> bool:
        """Its score is neither nothing nor everything."""
        return 0 < self.score < 1

    @property
    def is_empty(self) -> bool:
        """The model said nothing."""
        return not self.completion.strip()

    @property
    def is_looped(self) -> bool:
        """The model repeated itself."""
        return is_repeated(self.completion)


@dataclass(frozen=True)
class Tried:
    """The questions of one benchmark."""

    benchmark: str
    scorer: str
    as_chat: bool
    questions: tuple[Question, ...]

    @property
    def mean(self) -> float:
        """The share of what could be scored."""
        return sum(one.score for one in self.questions) / len(self.questions)

    @property
    def is_unread(self) -> bool:
        """No answer was found anywhere: prompt, template and scorer do not go together, or the model is broken."""
        return all(one.extracted is None for one in self.questions)

    @property
    def says_nothing(self) -> bool:
        return all(one.is_empty for one in self.questions)

    @property
    def are_all_cut(self) -> bool:
        return not any(one.finished for one in self.questions)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """What a worker wrote with `asdict`."""
        questions = tuple(Question(**one) for one in value["questions"])
        return cls(value["benchmark"], value["scorer"], value["as_chat"], questions)


def read(result: Sequence[Mapping[str, Any]] | None) -> list[Tried]:
    """The results in a row; none before it is done."""
    return [Tried.from_json(one) for one in result or ()]
