"""A device process that computes nothing: a score is a function of the recipe. A file says which recipes misbehave, and how.

{"seconds": 0.02, "trouble": {"<recipe digest>": "die once"}}
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path

from merging.errors import ParentError, TensorError
from merging.recipes import Recipe
from tests.ledger.scores import score, tried
from tests.ledger.shares import share
from workers.pipes import Message, Reporter, ignore_ctrl_c, private_line, serve

HELD_SECONDS = 4


class FakeDevice:
    def __init__(self, plan: Path) -> None:
        self._plan = plan

    def describe(self) -> str:
        return "fake"

    def evaluate(self, request: Message, progress: Reporter) -> Message:
        plan = json.loads(self._plan.read_text())
        digest = Recipe.from_json(request["recipe"]).digest()
        self._trouble(plan["trouble"].get(digest, ""), digest, progress)
        progress("evaluate", 0, 1)
        time.sleep(plan["seconds"])
        result = score(request["split"], share(request["recipe"])).to_json()
        return {
            "scores": [result for _ in request["asks"]],
            "positions": None,
            "merge_seconds": 0.0,
            "evaluate_seconds": plan["seconds"],
        }

    def build(self, request: Message, progress: Reporter) -> Message:
        folder = Path(request["folder"])
        folder.mkdir(parents=True)
        (folder / "README.md").write_text(request["texts"]["README.md"])
        progress("write", 1, 1)
        size = (folder / "README.md").stat().st_size
        return {"files": [{"name": "README.md", "n_bytes": size, "sha256": "0" * 64}], "checks": {}}

    def try_out(self, request: Message, progress: Reporter) -> Message:
        digest = Recipe.from_json(request["recipe"]).digest()
        plan = json.loads(self._plan.read_text())
        self._trouble(plan["trouble"].get(digest, ""), digest, progress)
        progress("evaluate", 0, 1)
        time.sleep(plan["seconds"])
        return {
            "tried": [tried(ask["benchmark"]["name"], ask["n"]) for ask in request["asks"]],
            "seconds": plan["seconds"],
        }

    def _trouble(self, what: str, digest: str, progress: Reporter) -> None:
        if what == "die" or (what == "die once" and self._first_time(digest)):
            os.kill(os.getpid(), signal.SIGKILL)
        elif what == "hang once" and self._first_time(digest):
            time.sleep(3600)
        elif what == "slow" or (what == "slow once" and self._first_time(digest)):
            for _ in range(600):
                progress("evaluate", 0, 1)
                time.sleep(0.1)
        elif what == "hold the GIL":
            ctypes.PyDLL(None).sleep(HELD_SECONDS)
        elif what == "NaN tensors":
            raise TensorError("q_proj holds NaN")
        elif what == "parent gone":
            raise ParentError("a has no model.safetensors.")

    def _first_time(self, digest: str) -> bool:
        mark = self._plan.with_name(f"happened to {digest}")
        if mark.exists():
            return False
        mark.touch()
        return True


if __name__ == "__main__":
    ignore_ctrl_c()
    line = private_line()
    serve(line, FakeDevice(Path(sys.argv[1])))
