"""From an evaluation to the one number that a search maximises."""

from __future__ import annotations

import math
from typing import Final

from merging.errors import EvaluationError
from merging.evaluation import Evaluation

SHAPING: Final = 0.1
"""Orders candidates that score nothing yet; too small to outweigh ten points of score."""


def fitness(evaluation: Evaluation) -> float:
    """The mean score; with a language gate, plus 0.1 x min(right, in_language), so in [0, 1.1].

    The score alone is 0 for most early candidates of a task with two conditions, and a search on a plain is blind. The
    minimum rewards progress on the weaker condition; a sum would be a trap, measured: with 0.1 x (right + in_language)
    the search ended at 96 % right and none in language. EvaluationError for the final split, which no search may see,
    for n = 0 and for a number that is not finite.
    """
    if evaluation.split == "final":
        raise EvaluationError("the final split has no fitness: it is scored once, at the end, and no search may see it")
    if evaluation.n < 1:
        raise EvaluationError(
            f"an evaluation of {evaluation.benchmark} on 0 samples has no fitness; expected at least one"
        )
    value = shaped(evaluation.mean, evaluation.right, evaluation.in_language)
    if not math.isfinite(value):
        raise EvaluationError(f"the fitness on {evaluation.benchmark} is {value}; expected a finite number")
    return value


def shaped(mean: float, right: float, in_language: float | None) -> float:
    """The fitness of these shares, asked or estimated."""
    return mean + (0.0 if in_language is None else SHAPING * min(right, in_language))
