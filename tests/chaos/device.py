"""A device process that is there in a tenth of a second and answers from a table: its scores are a function of the recipe, tied in fifths.

python -m tests.chaos.device PLAN, where PLAN holds {"answers": {split: [a score for 0, 1, ... right answers]}, "slowest": seconds,
"bad": the share of recipes that fail, "dying": the share of evaluations that end this process, "trouble": {recipe key: what}}. How long it
takes is a function of the recipe too, from a fifth of the slowest on: candidates finish out of order, always in the same one.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from merging.errors import TensorError
from tests.ledger.shares import N_SAMPLES, share
from workers.pipes import Message, Reporter, ignore_ctrl_c, private_line, serve

STEP_SECONDS = 0.05
SLOW_SECONDS = 3.0
MEGABYTE = bytes(1 << 20)


def key(recipe: dict[str, Any]) -> str:
    """What a recipe is called in the plan."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


class TableDevice:
    def __init__(self, plan: Path) -> None:
        self._plan = json.loads(plan.read_text())

    def describe(self) -> str:
        return "table"

    def evaluate(self, request: Message, progress: Reporter) -> Message:
        name = key(request["recipe"])
        seconds = self._plan["slowest"] * (0.2 + 0.8 * _share(name[:4]))
        trouble = self._plan["trouble"].get(name)
        if random.random() < self._plan["dying"]:
            os.kill(os.getpid(), signal.SIGKILL)
        if trouble == "bad" or _share(name[4:8]) < self._plan["bad"]:
            raise TensorError("q_proj holds NaN")
        if trouble == "slow":
            seconds = SLOW_SECONDS
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            progress("evaluate", 0, 1)
            time.sleep(min(left, STEP_SECONDS))
        n_right = round(share(request["recipe"]) * N_SAMPLES)
        answer = self._plan["answers"][request["split"]][n_right]
        scores = [answer for _ in request["asks"]]
        return {"scores": scores, "positions": None, "merge_seconds": 0.0, "evaluate_seconds": seconds}

    def build(self, request: Message, progress: Reporter) -> Message:
        folder = Path(request["folder"])
        folder.mkdir(parents=True)
        files = []
        for name, content in (("README.md", request["texts"]["README.md"].encode()), ("model.safetensors", MEGABYTE)):
            (folder / name).write_bytes(content)
            files.append({"name": name, "n_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})
            progress("write", len(files), 2)
        return {"files": files, "checks": {}}


def _share(digits: str) -> float:
    """Hexadecimal digits as a number in [0, 1)."""
    return int(digits, 16) / 16 ** len(digits)


if __name__ == "__main__":
    ignore_ctrl_c()
    line = private_line()
    with suppress(BrokenPipeError):  # the supervisor is no more
        serve(line, TableDevice(Path(sys.argv[1])))
