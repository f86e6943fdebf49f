"""How an answer is read from a completion, and when it is right. A score names its scorer and version: `last_number@1`.

Pure text; knows no languages and no models.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from merging.errors import BenchmarkError
from merging.registry import Registry


@dataclass(frozen=True)
class Scorer:
    """`extract` finds the answer in a completion, or None; `is_right` compares it with the sample's.

    Both are pure. They may raise ValueError, ArithmeticError or LookupError on text that they cannot judge: the sample
    then scores 0 with that error, for every candidate alike. `accepts` says whether an answer of a benchmark can be
    compared at all, `expected` what it should look like. A change in what counts as right raises `version`.
    """

    name: str
    version: int
    summary: str
    expected: str
    extract: Callable[[str], str | None]
    is_right: Callable[[str, str], bool]
    accepts: Callable[[str], bool]

    @property
    def id(self) -> str:
        return f"{self.name}@{self.version}"

    def check_answer(self, answer: str, where: str) -> None:
        """BenchmarkError for an answer that no completion could match."""
        if not self.accepts(answer):
            raise BenchmarkError(f"the answer of {where} is {answer[:80]!r}; {self.name} expects {self.expected}")


scorers: Final[Registry[Scorer]] = Registry("scorer")

# Full-width forms and the minus signs that keyboards and typesetters produce. Not NFKC: it would turn "5²" into "52".
_PLAIN = str.maketrans("０１２３４５６７８９，．－−﹣", "0123456789,.---")

# A minus belongs to the number unless it follows a digit, a letter or a bracket: "5-3" ends in 3, "=-3" in -3.
# Groups of thousands need a comma and exactly three digits each; "1,00" is two numbers.
_NUMBER: Final = re.compile(
    r"(?:(?<![0-9A-Za-z)\]])-)?"
    r"(?:(?<![0-9])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)"
    r"(?:\.[0-9]+)?"
)


def last_number(text: str) -> str | None:
    """The last number of a text in plain digits: `1,234.50` gives `1234.50`, `−５` gives `-5`; None without a number."""
    found = None
    for match in _NUMBER.finditer(text.translate(_PLAIN)):
        found = match
    return found[0].replace(",", "") if found else None


def _is_number(answer: str) -> bool:
    return _NUMBER.fullmatch(answer.strip().translate(_PLAIN)) is not None


def _same_number(found: str, answer: str) -> bool:
    """Equal as decimals of any length: `165.0` equals `165`, and nothing is rounded."""
    expected = answer.strip().translate(_PLAIN).replace(",", "")
    return Decimal(found) == Decimal(expected)


def _words(text: str) -> str:
    return " ".join(text.split())


scorers.register(
    "last_number",
    Scorer(
        name="last_number",
        version=1,
        summary="The last number of the completion, compared as a number. Reads thousands (1,234), decimals and full-width digits.",
        expected="a number such as 42, -3.5 or 1,234",
        extract=last_number,
        is_right=_same_number,
        accepts=_is_number,
    ),
)
scorers.register(
    "exact_match",
    Scorer(
        name="exact_match",
        version=1,
        summary="The whole completion, compared letter by letter; only spacing is forgiven.",
        expected="some text",
        extract=lambda text: _words(text) or None,
        is_right=lambda found, answer: found == _words(answer),
        accepts=lambda answer: bool(answer.strip()),
    ),
)
