"""The order in which a run's evaluations are claimed, lower first: the one place that knows it.

0              parents and baselines on the search split: the bar to beat
10 (g + 1)     generation g on the search split
10 (g + 1) + 7 probes that were asked for in generation g; at the end of a run, after everything
10 (g + 2) + 5 the best of generation g on the validation split, after the search's own questions of generation g + 1: workers that would
               wait for the last of these take it, and it is still known soon. Parents and baselines on it with generation 0's
"""

from __future__ import annotations

from typing import Final, Literal

BEFORE_ALL: Final = -1
"""The generation of a run that has none yet."""
REFERENCE_SEARCH: Final = 0
REFERENCE_VALIDATION: Final = 25
FULL: Final = 1_999_999_999
"""Finalists whose search scores are estimates, on all search samples: before the winner is chosen."""
LAST: Final = 2_000_000_000
"""The end of a run: whatever finishing still needs."""
AFTER_ALL: Final = 2_000_000_001
"""Probes that are asked for when the search is over."""


def of_generation(number: int, split: Literal["search", "validation", "probe"]) -> int:
    """The rank of an evolved candidate of generation `number`, or of a probe that somebody asks for in it."""
    return 10 * (number + 1) + {"search": 0, "validation": 15, "probe": 7}[split]
