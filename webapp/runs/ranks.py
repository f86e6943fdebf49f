"""The order in which a run's evaluations are claimed, lower first: the one place that knows it.

0              parents and baselines on the search split: the bar to beat
10 (g + 1)     generation g on the search split
10 (g + 1) + 5 a new best of generation g on the validation split; parents and baselines on it with generation 0's
"""

from __future__ import annotations

from typing import Final, Literal

REFERENCE_SEARCH: Final = 0
REFERENCE_VALIDATION: Final = 15
FULL: Final = 1_999_999_999
"""Finalists whose search scores are estimates, on all search samples: before the winner is chosen."""
LAST: Final = 2_000_000_000
"""The end of a run: whatever finishing still needs."""


def of_generation(number: int, split: Literal["search", "validation"]) -> int:
    """The rank of an evolved candidate of generation `number`."""
    return 10 * (number + 1) + (0 if split == "search" else 5)
