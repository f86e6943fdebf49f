"""The last number of a completion: as a careful reader finds it, and as the paper's authors did."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from merging.benchmarks.scorers.scorer import TextScorer

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


def _same_number(found: str, answer: str) -> float:
    """Equal as decimals of any length: `165.0` equals `165`, and nothing is rounded."""
    expected = answer.strip().translate(_PLAIN).replace(",", "")
    return float(Decimal(found) == Decimal(expected))


# SakanaAI/evolutionary-model-merge, evomerge/eval/ja_mgsm.py: no signs, no thousands; any script's digits.
_PAPER_NUMBER: Final = re.compile(r"\d*\.?\d+")


def last_number_paper(text: str) -> str | None:
    """The last number as the paper's authors read it: `1,000` gives `000`, `-5` gives `5`."""
    found = None
    for match in _PAPER_NUMBER.finditer(text):
        found = match
    return found[0] if found else None


def _same_float(found: str, answer: str) -> float:
    return float(float(found) == float(answer.strip().translate(_PLAIN).replace(",", "")))


SCORERS: Final = (
    TextScorer(
        name="last_number",
        version=1,
        summary="The last number of the completion, compared as a number. Reads thousands (1,234), decimals and full-width digits.",
        expected="a number such as 42, -3.5 or 1,234",
        extract=last_number,
        score=_same_number,
        accepts=_is_number,
    ),
    TextScorer(
        name="last_number_paper",
        version=1,
        summary="The last number as the paper read it, for comparing with its tables. Reads 1,000 as 0 and loses signs.",
        expected="a number such as 42 or 3.5",
        extract=last_number_paper,
        score=_same_float,
        accepts=_is_number,
    ),
)
