"""The whole completion as it stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from merging.benchmarks.scorers.scorer import TextScorer, words
from merging.engines import Decided

SLACK: Final = 16
"""Characters beyond the longest answer before a completion is given up: decoding may still join or drop a few."""


def _decided(answers: Sequence[str]) -> Decided:
    longest = max(len(words(answer)) for answer in answers)
    return lambda text: len(words(text)) > longest + SLACK


SCORERS: Final = (
    TextScorer(
        name="exact_match",
        version=1,
        summary="The whole completion, compared letter by letter; only spacing is forgiven.",
        expected="some text",
        accepts=lambda answer: bool(answer.strip()),
        extract=lambda text: words(text) or None,
        score=lambda found, answer: float(found == words(answer)),
        decided=_decided,
    ),
)
