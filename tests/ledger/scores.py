"""What a device would have measured. Knows no rows, so a device process can use it."""

from __future__ import annotations

from typing import Any

from merging.evaluation import Evaluation as Score
from merging.health import health_of
from merging.outcomes import SampleOutcome
from merging.statistics import wilson
from tests.ledger.shares import N_SAMPLES


def score(split: str, mean: float, completion: str = "2") -> Score:
    """With so many right answers, all of them equal but for that."""
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


def tried(benchmark: str, n: int, completion: str = "It is 2.", extracted: str | None = "2") -> dict[str, Any]:
    """What a device says of a trial on one benchmark: every answer but the first is wrong."""
    questions = [
        {
            "prompt": f"{i} + 1 = ?",
            "completion": completion,
            "extracted": extracted,
            "expected": str(i + 1),
            "language": None,
            "spoken": None,
            "right": i == 1,
            "score": float(i == 1),
            "finished": True,
            "seconds": 0.01,
            "error": None,
        }
        for i in range(1, n + 1)
    ]
    return {"benchmark": benchmark, "scorer": "last_number@1", "as_chat": False, "questions": questions}
