"""How an answer is judged. A score names its scorer and version: `last_number@1`.

Two kinds: a text scorer reads the answer from a completion, a choice scorer picks one of the offered answers by their
likelihoods. Knows no models.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from merging.engines import Decided
from merging.errors import BenchmarkError
from merging.registry import Registry

INCOMPARABLE: Final = "the model's likelihoods of the choices are not numbers that can be compared"
Extract = Callable[[str], str | None]


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """What all scorers have. `accepts` says whether an answer of a benchmark can be compared at all, `expected` what it
    should look like. With `is_binary` every score is 0 or 1. A change in what counts as right raises `version`.
    """

    name: str
    version: int
    summary: str
    expected: str
    accepts: Callable[[str], bool]
    is_binary: bool = True

    @property
    def id(self) -> str:
        return f"{self.name}@{self.version}"

    def check_answer(self, answer: str, where: str) -> None:
        """BenchmarkError for an answer that no completion could match."""
        if not self.accepts(answer):
            raise BenchmarkError(f"the answer of {where} is {answer[:80]!r}; {self.name} expects {self.expected}")


@dataclass(frozen=True, kw_only=True)
class TextScorer(Scorer):
    """`extract` finds the answer in a completion, or None; `score`, in [0, 1], compares it with the sample's.

    Both are pure and take time in proportion to what they read. They may raise ValueError, ArithmeticError or
    LookupError on text that they cannot judge: the sample then scores 0 with that error, for every candidate alike.

    `compiled` makes `extract` from a pattern of the benchmark's; None for scorers that need none. `decided`, given all
    answers, makes the test whether a completion can be right no more, so that generating it may stop; None where that
    can never be told.
    """

    extract: Extract
    score: Callable[[str, str], float]
    compiled: Callable[[str], Extract] | None = None
    decided: Callable[[Sequence[str]], Decided] | None = None


@dataclass(frozen=True, kw_only=True)
class ChoiceScorer(Scorer):
    """`weigh` divides the log-likelihood of a choice, in nats: the highest quotient is the answer, the first of equals."""

    weigh: Callable[[str], float]

    def choose(self, log_likelihoods: Sequence[float], choices: Sequence[str]) -> str | None:
        """The answer; None from a model whose numbers are broken: any NaN, or no choice that is possible at all."""
        if not are_comparable(log_likelihoods):
            return None
        weighed = [value / self.weigh(choice) for value, choice in zip(log_likelihoods, choices, strict=True)]
        return choices[weighed.index(max(weighed))]


Judge = TextScorer | ChoiceScorer
scorers: Final[Registry[Judge]] = Registry("scorer")


def scorer_of(name: str, pattern: str = "") -> Judge:
    """The scorer of that name, reading with `pattern` if it is one that needs it.

    BenchmarkError for a missing, superfluous or unusable pattern; UnknownNameError for another name.
    """
    scorer = scorers.get(name)
    if isinstance(scorer, ChoiceScorer) or scorer.compiled is None:
        if pattern:
            raise BenchmarkError(f"{name} reads answers without a pattern; found {pattern[:80]!r}. Leave it empty")
        return scorer
    if not pattern:
        raise BenchmarkError(f"{name} needs a pattern that says what the answer looks like; found none")
    return replace(scorer, extract=scorer.compiled(pattern))


def are_comparable(log_likelihoods: Sequence[float]) -> bool:
    """Whether a model's numbers can choose: none is NaN, and something is possible at all."""
    return not any(map(math.isnan, log_likelihoods)) and max(log_likelihoods) > -math.inf


def words(text: str) -> str:
    """The text with every run of white space as one space, none at its ends."""
    return " ".join(text.split())
