"""The score of a recipe: a function of it alone, in fifths, so that ties are common. Imports nothing that takes time."""

from __future__ import annotations

from typing import Any

N_SAMPLES = 5


def share(recipe: dict[str, Any]) -> float:
    """The nearer the first parent's weight is to 0.8 and the others' to 0.3, the better."""
    weights = [values.get("weight", 0.5) for values in recipe["values"][0]]
    distance = sum(abs(weight - (0.3 if i else 0.8)) for i, weight in enumerate(weights))
    return max(0, N_SAMPLES - round(4 * distance)) / N_SAMPLES
