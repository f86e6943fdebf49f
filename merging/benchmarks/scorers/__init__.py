"""Scorers: how answers are judged. A file in this folder with `SCORERS` adds them everywhere."""

from merging.benchmarks.scorers.scorer import ChoiceScorer, Judge, Scorer, TextScorer, scorer_of, scorers
from merging.registry import plugins

for _module in plugins(__name__):
    for _scorer in getattr(_module, "SCORERS", ()):
        scorers.register(_scorer.name, _scorer)

__all__ = ["ChoiceScorer", "Judge", "Scorer", "TextScorer", "scorer_of", "scorers"]
