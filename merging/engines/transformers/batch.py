"""Rows on their way to their completions, and what a batch is in which they are decoded together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from merging.engines import N_TOKENS_BETWEEN_CHECKS
from merging.engines.transformers.rows import Past, Tokens

LEAVE_SHARE: Final = 0.125
"""Finished rows leave once they are this share of the batch: leaving copies keys and values, and prompts are read together."""


@dataclass
class Row:
    """One prompt and what was generated for it. `finished`: by an end token, a stop string or a decision, not by the limit."""

    prompt: Tokens
    generated: list[int] = field(default_factory=list)
    finished: bool = False
    done: bool = False


@dataclass(frozen=True)
class Rules:
    """When a completion ends. `is_over` is asked about the generated tokens every `N_TOKENS_BETWEEN_CHECKS` of them."""

    max_new_tokens: int
    end_tokens: frozenset[int]
    is_over: Callable[[list[int]], bool] | None

    def add(self, rows: Sequence[Row], tokens: Sequence[int]) -> None:
        """One token more for each row that is not done."""
        for row, token in zip(rows, tokens, strict=True):
            if row.done:
                continue
            if token in self.end_tokens:
                row.finished = row.done = True
                continue
            row.generated.append(token)
            n = len(row.generated)
            if self.is_over and n % N_TOKENS_BETWEEN_CHECKS == 0 and self.is_over(row.generated):
                row.finished = row.done = True
            elif n == self.max_new_tokens:
                row.done = True


@dataclass(frozen=True)
class Part:
    """Rows that are not done, and where they stand in what the model keeps."""

    rows: list[Row]
    past: Past
    places: list[int]

    @classmethod
    def of(cls, rows: Sequence[Row], past: Past) -> Part:
        places = [i for i, row in enumerate(rows) if not row.done]
        return cls([rows[i] for i in places], past, places)

    @property
    def lengths(self) -> list[int]:
        return [self.past.lengths[i] for i in self.places]


class Batch(Protocol):
    """Rows that are decoded together, one token a step. `n_active` of them are not done."""

    n_active: int

    @property
    def n_free(self) -> int:
        """How many rows may enter."""
        ...

    def is_worth_renewing(self) -> bool: ...

    def step(self, rules: Rules) -> None:
        """One token more for every row."""
        ...

    def renew(self, entering: Iterable[Part]) -> None:
        """Rows that are done make place for others, at most `n_free`."""
        ...
