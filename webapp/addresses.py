"""What the words of an address mean: whoever reads one takes anything, and what is none of what could be meant is no error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

MAX_NUMERALS: Final = 18  # of a 64-bit number
T = TypeVar("T", bound=str)


def number(word: str) -> int | None:
    """The whole number that a word says, 0 or more; None for any other word, and for more numerals than keys of rows have."""
    return int(word) if word.isascii() and word.isdigit() and len(word) <= MAX_NUMERALS else None


def one_of(known: Sequence[T], word: str | None) -> T:
    """The one that a word names, or else the first; there is at least one."""
    return next((one for one in known if one == word), known[0])
