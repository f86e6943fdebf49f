"""Whether models of the library fit each other: what `merging/fit.py` finds out, for rows instead of folders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Final, Literal

from merging.fit import Finding, Fit, Level, Pairs, fit
from merging.methods.method import Method
from merging.recipes import Tokenizer
from webapp.library.models import Parent

Cell = Literal["error", "warning", "info", "ok"]
WORDS: Final[dict[Cell, str]] = {"error": "ERROR", "warning": "WARN", "info": "INFO", "ok": "OK"}
"""The worst first."""
MOST: Final = 12
"""Models that a matrix holds: 132 pairs."""


@dataclass(frozen=True)
class Pair:
    """Two models; where they are merged, the result is like the first. `by_token` is how they fit when the result has the first one's
    tokenizer and rows are found by token; only asked for where they do not fit otherwise.
    """

    first: Parent
    other: Parent
    fit: Fit
    by_token: Fit | None

    @property
    def key(self) -> str:
        """As addresses name it: `3-8`."""
        return f"{self.first.pk}-{self.other.pk}"

    @property
    def level(self) -> Cell:
        """The worst that was found."""
        return self.fit.findings[0].level if self.fit.findings else "ok"

    @property
    def word(self) -> str:
        """The level as the matrix has it."""
        return WORDS[self.level]

    @property
    def n(self) -> int:
        """How many findings are so bad."""
        return sum(finding.level == self.level for finding in self.fit.findings)

    @property
    def verdict(self) -> tuple[Cell, int, bool]:
        """What a cell shows."""
        return self.level, self.n, self.is_remedied

    @property
    def is_remedied(self) -> bool:
        """They do not fit as they are, and choosing a tokenizer is all it takes."""
        return self.by_token is not None and not self.by_token.errors

    @property
    def sentence(self) -> str:
        """The verdict in a few words."""
        if self.is_remedied:
            return "fit with a remedy"
        levels: dict[Cell, str] = {"error": "do not fit", "warning": "fit, with care", "info": "fit", "ok": "fit"}
        return levels[self.level]

    @property
    def tone(self) -> str:
        """Of the verdict."""
        if self.level == "error":
            return "warn" if self.is_remedied else "bad"
        return "warn" if self.level == "warning" else "good"

    @property
    def why(self) -> Finding | None:
        """What weighs most, if anything does; where a remedy is chosen, what it is for."""
        level: Level = "error" if self.level == "error" else "warning"
        found = self.fit.of(level)
        return found[0] if found else None


@dataclass(frozen=True)
class Matrix:
    """Every two of some models, both ways around, and how all of them fit `together`."""

    models: tuple[Parent, ...]
    pairs: dict[str, Pair]
    together: Fit

    @property
    def rows(self) -> list[tuple[Parent, list[Pair | None]]]:
        """A row for each model as the first, a cell for each as the other; None where both are the same."""
        return [(first, [self.pairs.get(f"{first.pk}-{other.pk}") for other in self.models]) for first in self.models]

    @property
    def listed(self) -> list[Pair]:
        """Every two models once, and both ways around where that makes a difference; the worst first."""
        order = list(WORDS)
        place = {model.pk: number for number, model in enumerate(self.models)}
        found = [
            pair
            for pair in self.pairs.values()
            if place[pair.first.pk] < place[pair.other.pk] or pair.verdict != self._turned(pair).verdict
        ]
        return sorted(found, key=lambda pair: order.index(pair.level))

    def _turned(self, pair: Pair) -> Pair:
        return self.pairs[f"{pair.other.pk}-{pair.first.pk}"]


def fit_of(
    parents: Sequence[Parent],
    base: Parent | None = None,
    method: Method | None = None,
    tokenizer: Tokenizer = "same",
    is_path: bool = False,
) -> Fit:
    """How the models fit, for a path through their layers if it is to be one, from what lies in their folders now. A base
    model that is a parent too counts once.
    """
    models = [row.model for row in parents]
    other = None if base is None or base in parents else base.model
    return fit(models, other, method, tokenizer, is_path=is_path)


def matrix_of(parents: Sequence[Parent]) -> Matrix:
    """The first `MOST` of these models, each beside each."""
    models, known = tuple(parents[:MOST]), Pairs()
    pairs = {pair.key: pair for pair in _pairs(permutations(models, 2), known)}
    return Matrix(models, pairs, known.together([row.model for row in models]))


def pairs_of(first: Parent, others: Sequence[Parent]) -> list[Pair]:
    """One model beside each of the others, in their order."""
    return _pairs(((first, other) for other in others), Pairs())


def pairs_with(firsts: Sequence[Parent], other: Parent) -> list[Pair]:
    """Each of the first ones beside one model, in their order."""
    return _pairs(((first, other) for first in firsts), Pairs())


def _pairs(wanted: Iterable[tuple[Parent, Parent]], known: Pairs) -> list[Pair]:
    found = []
    for first, other in wanted:
        plainly = known.fit(first.model, other.model)
        by_token = known.fit(first.model, other.model, "first") if plainly.errors else None
        found.append(Pair(first, other, plainly, by_token))
    return found
