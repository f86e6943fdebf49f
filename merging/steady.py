"""Steady state: a generation is opened before the last candidates of the one before are scored, so that no worker waits for them.

The last `n_ahead` candidates of every generation are told with the next one. When all others are scored, the search is told one population:
the last of the generation before, then this one's but for its own last. What is proposed depends on that rule and on scores, never on
which of them came first: a run is the same with any number of workers, and is replayed from its rows.
"""

from __future__ import annotations


def ahead(population_size: int) -> int:
    """How many candidates of a generation are told with the next one: half of them, for the reasons in docs/scheduling.md."""
    return population_size // 2


def n_asked(population_size: int, n_ahead: int, number: int) -> int:
    """How many candidates generation `number` has: a population, and the first one those besides that it leaves to the next."""
    return population_size + (n_ahead if number == 0 else 0)
