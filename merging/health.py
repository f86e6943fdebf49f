"""Whether the completions of a model look like answers at all: what a mean score hides.

A candidate whose health is bad is flagged wherever its score is shown, and ranked behind all others. One that was stopped
early has given few answers, of which many can be bad by luck: a share counts where it is above its limit beyond luck (`LUCK`).
Knows no models.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from math import exp, fsum, lgamma, log, log1p
from typing import Final

from merging import plain
from merging.errors import EvaluationError
from merging.outcomes import SampleOutcome

Reason = str
LIMITS: Final[Mapping[str, tuple[float, Reason]]] = {
    "empty": (0.1, "say nothing"),
    "truncated": (0.2, "are cut at the limit of tokens"),
    "repeated": (0.1, "repeat themselves in a loop"),
    "wrong_language": (0.5, "are in another language than asked for"),
    "unextractable": (0.2, "hold no answer that the scorer can read"),
    "errors": (0.01, "could not be scored"),
}
"""For each kind of bad completion: which share of them a candidate may have, and how more is said."""

LUCK: Final = 0.025
"""A candidate is flagged if one whose share is at the limit would have as many bad completions or more with less than this chance.
Where 10 % may be empty: 4 of 10, 17 of 100, 30 of 200. All of 10 are a flag in any case, all of one only where the limit is below 2.5 %."""

MAX_UNIT: Final = 200
MIN_TIMES: Final = 4
MIN_LOOP: Final = 40


@dataclass(frozen=True)
class Health:
    """How many of `n` completions are bad in which way; one may be bad in several.

    `unextractable` does not count empty completions and those with errors again.
    """

    n: int
    empty: int = 0
    truncated: int = 0
    repeated: int = 0
    wrong_language: int = 0
    unextractable: int = 0
    errors: int = 0

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """One phrase for each share above its limit beyond luck: `42 of 100 completions repeat themselves in a loop`."""
        counts = {name: getattr(self, name) for name in LIMITS}
        return tuple(
            f"{count} of {self.n} completions {LIMITS[name][1]}"
            for name, count in counts.items()
            if count > LIMITS[name][0] * self.n and _chance(count, self.n, LIMITS[name][0]) < LUCK
        )

    @property
    def is_bad(self) -> bool:
        return bool(self.reasons)

    def to_json(self) -> dict[str, object]:
        """Plain JSON types, the opposite of `from_json`."""
        return asdict(self)

    @staticmethod
    def from_json(value: object) -> Health:
        """The health that `to_json` wrote; EvaluationError names what is missing, unknown or wrong."""
        names = tuple(Health.__dataclass_fields__)
        found = plain.fields(value, names, "health", EvaluationError)
        return Health(**{name: plain.integer(found[name], f"{name} of health", EvaluationError) for name in names})


def health_of(outcomes: Iterable[SampleOutcome], languages: Mapping[str, str | None]) -> Health:
    """Counts over outcomes; `languages` is what is expected of each sample, by id, empty without a gate."""
    every = list(outcomes)
    return Health(
        n=len(every),
        empty=sum(_is_empty(o) for o in every),
        truncated=sum(not o.finished for o in every),
        repeated=sum(is_repeated(o.completion) for o in every),
        wrong_language=sum(not _is_empty(o) and o.language != languages.get(o.id, o.language) for o in every),
        unextractable=sum(o.extracted is None and o.error is None and not _is_empty(o) for o in every),
        errors=sum(o.error is not None for o in every),
    )


def is_repeated(text: str) -> bool:
    """Whether a text ends in a loop, as of a model that repeats itself until its limit.

    A unit of up to `MAX_UNIT` characters fills the end of the text at least `MIN_TIMES` times without a gap, and
    `MIN_LOOP` characters or more. Not a compression ratio, which also condemns tables and counting.
    """
    end = text.rstrip()[-MAX_UNIT * MIN_TIMES :]
    return any(_n_looped(end, unit) >= max(MIN_LOOP, MIN_TIMES * unit) for unit in range(1, len(end) // MIN_TIMES + 1))


def _n_looped(text: str, unit: int) -> int:
    """How many characters at the end of a text repeat what stands `unit` before them, the first unit included."""
    n = unit
    while n < len(text) and text[-n - 1] == text[-n - 1 + unit]:
        n += 1
    return n


def _chance(count: int, n: int, share: float) -> float:
    """Of `count` or more among `n`, each with the probability `share`: the binomial distribution's upper tail."""
    return fsum(
        exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + k * log(share) + (n - k) * log1p(-share))
        for k in range(count, n + 1)
    )


def _is_empty(outcome: SampleOutcome) -> bool:
    return not outcome.completion.strip()
