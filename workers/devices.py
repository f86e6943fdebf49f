"""The device process: a workbench that stays warm, behind a pipe. Imports torch; knows no database, no lease and no run.

python -m workers.devices
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import torch

from merging.benchmarks import BenchmarkSpec
from merging.benchmarks.languages import language_of
from merging.engines import Completion, Progress, TextModel
from merging.engines.transformers import MAX_BATCH
from merging.evaluation import Evaluation, evaluate
from merging.recipes import Recipe
from merging.workbench import Workbench
from workers.failures import is_out_of_memory
from workers.pipes import Message, Reporter, follow_the_supervisor, private_line, serve

GIB: Final = 2**30


class WorkbenchComputer:
    """See `pipes.Computer`."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def describe(self) -> str:
        """The GPU with its memory, or the number of cores that this process may use."""
        device = self._bench.device
        if device.type == "cuda":
            facts = torch.cuda.get_device_properties(device)
            return f"{facts.name}, {facts.total_memory / GIB:.0f} GiB"
        n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return f"CPU, {n_cores} core{'' if n_cores == 1 else 's'}"

    def evaluate(self, request: Message, progress: Reporter) -> Message:
        """Score a recipe; out of memory, once more from a cleared bench and with half as many questions at once."""
        recipe = Recipe.from_json(request["recipe"])
        benchmark = BenchmarkSpec.from_json(request["benchmark"]).load()
        began = time.perf_counter()

        def score_of(model: TextModel) -> Evaluation:
            return evaluate(model, benchmark, request["split"], request["n"], progress)

        try:
            score = score_of(self._bench.model(recipe, progress))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._bench.close()
            score = score_of(Halved(self._bench.model(recipe, progress)))
        merge_seconds = time.perf_counter() - began - score.seconds
        return {"score": score.to_json(), "merge_seconds": merge_seconds, "evaluate_seconds": score.seconds}

    def build(self, request: Message, progress: Reporter) -> Message:
        """Write a recipe's model as a folder."""
        recipe = Recipe.from_json(request["recipe"])
        files = self._bench.build(recipe, Path(request["folder"]), request["texts"], progress)
        return {"files": [asdict(file) for file in files]}


class Halved:
    """A `TextModel` that is asked at most half as many prompts at once as a batch can hold."""

    def __init__(self, model: TextModel) -> None:
        self._model = model

    def complete(
        self, prompts: Sequence[str], max_new_tokens: int, stop: Sequence[str] = (), progress: Progress | None = None
    ) -> list[Completion]:
        """See `TextModel`."""
        size = max(1, min(len(prompts), MAX_BATCH) // 2)
        found: list[Completion] = []
        for start in range(0, len(prompts), size):
            found += self._model.complete(prompts[start : start + size], max_new_tokens, stop)
            if progress:
                progress(len(found), len(prompts))
        return found


def load_languages() -> None:
    """The detector's models, which take a second or two: better now than before the first candidate's score."""
    language_of("A short English text.", "en")
    language_of("短い日本語の文です。", "ja")


if __name__ == "__main__":
    follow_the_supervisor()
    line = private_line()
    load_languages()
    serve(line, WorkbenchComputer(Workbench()))
