"""A device that waits in place of computing, so that many workers fit on two cores: `celery -A benchmarks.waiting worker`, in the place of
`workers.celery`, is a worker with one. WAITING_SECONDS is the median time of a candidate; as a program it is the device process.

How long a candidate takes is a function of its recipe: log-normal, so that one in twenty takes more than 2.3 times the median. What it
scores is one too: the nearer its numbers are to a hidden vector, the more right answers.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import sys
import time
from typing import TYPE_CHECKING, Any

from merging.evaluation import Evaluation
from merging.health import health_of
from merging.outcomes import SampleOutcome
from merging.statistics import wilson
from workers.pipes import Message, Reporter, ignore_ctrl_c, private_line, serve

if TYPE_CHECKING:
    from celery import Celery

SPREAD = 0.5
N_SAMPLES = 100
STEP_SECONDS = 0.1


class WaitingDevice:
    """See `workers.pipes.serve`."""

    def describe(self) -> str:
        return "waiting"

    def evaluate(self, request: Message, progress: Reporter) -> Message:
        draws = random.Random(hashlib.sha256(json.dumps(request["recipe"], sort_keys=True).encode()).digest())
        seconds = float(os.environ["WAITING_SECONDS"]) * draws.lognormvariate(0.0, SPREAD)
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            progress("evaluate", 0, 1)
            time.sleep(min(left, STEP_SECONDS))
        scores = [_score(request["split"], _share(request["recipe"])).to_json() for _ in request["asks"]]
        return {"scores": scores, "positions": None, "merge_seconds": 0.0, "evaluate_seconds": seconds}


def _share(recipe: dict[str, Any]) -> float:
    numbers = [number for row in recipe["values"] for values in row for number in values.values()]
    if not numbers:
        return 0.0
    hidden = [0.8 if place % 2 else 0.3 for place in range(len(numbers))]
    return math.exp(-sum((a - b) ** 2 for a, b in zip(numbers, hidden, strict=True)) / len(numbers))


def _score(split: str, share: float) -> Evaluation:
    n_right = round(share * N_SAMPLES)
    interval = wilson(n_right, N_SAMPLES)
    outcomes = tuple(
        SampleOutcome(str(i), "0" * 16, "2", "2", None, i < n_right, float(i < n_right), 1, 0.0, True, None)
        for i in range(N_SAMPLES)
    )
    mean = n_right / N_SAMPLES
    spread = (interval.low, interval.high)
    return Evaluation(
        "waited", "last_number/1", split, N_SAMPLES, mean, *spread, mean, None, health_of(outcomes, {}), 0.0, outcomes  # type: ignore[arg-type]
    )  # fmt: skip


def _app() -> Celery:
    from workers import celery

    celery.DEVICE_COMMAND = (sys.executable, "-m", "benchmarks.waiting")  # type: ignore[misc]
    return celery.app


if __name__ == "__main__":
    ignore_ctrl_c()
    serve(private_line(), WaitingDevice())
else:
    app = _app()
