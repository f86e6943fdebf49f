"""Scores that are a function of the recipe alone, and deliberately tied. Knows no rows, so a device process can use it."""

from __future__ import annotations

from typing import Any

from merging.evaluation import Evaluation as Score
from merging.health import health_of
from merging.outcomes import SampleOutcome
from merging.recipes import Recipe
from merging.statistics import wilson

N_SAMPLES = 5


def share(recipe: dict[str, Any]) -> float:
    """A score in fifths: the nearer the first parent's weight is to 0.8 and the others' to 0.3, the better. Ties are common."""
    weights = [values.get("weight", 0.5) for values in Recipe.from_json(recipe).values[0]]
    distance = sum(abs(weight - (0.3 if i else 0.8)) for i, weight in enumerate(weights))
    return max(0, N_SAMPLES - round(4 * distance)) / N_SAMPLES


def score(split: str, mean: float, completion: str = "2") -> Score:
    """What a device would have measured."""
    n_right = round(mean * N_SAMPLES)
    interval = wilson(n_right, N_SAMPLES)
    outcomes = tuple(
        SampleOutcome(f"s{i}", "0" * 16, completion, "2", None, i < n_right, float(i < n_right), 1, 0.0, True, None)
        for i in range(N_SAMPLES)
    )
    return Score(
        benchmark="sums",
        scorer="last_number/1",
        split=split,  # type: ignore[arg-type]
        n=N_SAMPLES,
        mean=mean,
        low=interval.low,
        high=interval.high,
        right=mean,
        in_language=None,
        health=health_of(outcomes, {}),
        seconds=0.01,
        outcomes=outcomes,
    )
