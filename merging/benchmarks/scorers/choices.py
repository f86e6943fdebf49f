"""Multiple choice by log-likelihood: the choice that the model finds likeliest after the question.

Named and weighed as in lm-eval's harness.
"""

from __future__ import annotations

from typing import Final

from merging.benchmarks.scorers.scorer import ChoiceScorer


def _is_text(answer: str) -> bool:
    return bool(answer)


SCORERS: Final = (
    ChoiceScorer(
        name="acc",
        version=1,
        summary="Multiple choice: the choice with the highest log-likelihood. Favours short choices.",
        expected="one of the choices",
        accepts=_is_text,
        weigh=lambda choice: 1.0,
    ),
    ChoiceScorer(
        name="acc_norm",
        version=1,
        summary="Multiple choice: the choice with the highest log-likelihood per character, which is fair to long choices.",
        expected="one of the choices",
        accepts=_is_text,
        weigh=lambda choice: float(len(choice)),
    ),
    ChoiceScorer(
        name="acc_bytes",
        version=1,
        summary="Multiple choice: the choice with the highest log-likelihood per byte, which compares choices in different scripts.",
        expected="one of the choices",
        accepts=_is_text,
        weigh=lambda choice: float(len(choice.encode())),
    ),
)
