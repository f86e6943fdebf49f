"""The device process: a workbench that stays warm, behind a pipe. Imports torch; knows no database, no lease and no run.

python -m workers.devices
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, TypeVar

import torch

from merging.benchmarks import Benchmark, BenchmarkSpec, Split
from merging.benchmarks.languages import language_of
from merging.engines import Completion, Decided, Likelihood, Progress, TextModel, TokenModel
from merging.engines.transformers import MAX_BATCH
from merging.evaluation import Evaluation, Stage, evaluate
from merging.recipes import Recipe
from merging.workbench import Workbench
from webapp.env import engine
from workers.failures import is_out_of_memory
from workers.pipes import Message, Reporter, follow_the_supervisor, private_line, serve

GIB: Final = 2**30
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Ask:
    """A benchmark, and how many samples of the split are asked."""

    benchmark: Benchmark
    n: int


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
        asks = [Ask(BenchmarkSpec.from_json(ask["benchmark"]).load(ask["key"]), ask["n"]) for ask in request["asks"]]
        began = time.perf_counter()
        try:
            scores = evaluate_all(self._bench.model(recipe, progress), asks, request["split"], progress)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._bench.close()
            scores = evaluate_all(Halved(self._bench.model(recipe, progress)), asks, request["split"], progress)
        evaluate_seconds = sum(score.seconds for score in scores)
        merge_seconds = time.perf_counter() - began - evaluate_seconds
        found = [score.to_json() for score in scores]
        return {"scores": found, "merge_seconds": merge_seconds, "evaluate_seconds": evaluate_seconds}

    def build(self, request: Message, progress: Reporter) -> Message:
        """Write a recipe's model as a folder."""
        recipe = Recipe.from_json(request["recipe"])
        files = self._bench.build(recipe, Path(request["folder"]), request["texts"], progress)
        return {"files": [asdict(file) for file in files]}


def evaluate_all(model: TextModel, asks: Sequence[Ask], split: Split, progress: Reporter) -> list[Evaluation]:
    """The model's score on each benchmark, one after the other; progress counts the samples of all."""
    total = sum(ask.n for ask in asks)
    found: list[Evaluation] = []
    for ask in asks:
        before = sum(score.n for score in found)

        def report(stage: Stage, done: int, of: int, before: int = before, n: int = ask.n) -> None:
            progress(stage, before + (n * done // of if of else 0), total)

        found.append(evaluate(model, ask.benchmark, split, ask.n, report))
    return found


class Halved:
    """A `TokenModel` that is asked at most half as many rows at once as a batch can hold."""

    def __init__(self, model: TokenModel) -> None:
        self._model = model
        self.tokenizer, self.max_length, self.prefix_token = model.tokenizer, model.max_length, model.prefix_token
        self.as_chat = model.as_chat

    def complete(
        self,
        prompts: Sequence[str],
        max_new_tokens: int,
        stop: Sequence[str] = (),
        progress: Progress | None = None,
        decided: Decided | None = None,
    ) -> list[Completion]:
        """See `TextModel`."""
        return _in_parts(
            lambda part: self._model.complete(part, max_new_tokens, stop, None, decided), prompts, progress
        )

    def likelihoods(self, pairs: Sequence[tuple[str, str]], progress: Progress | None = None) -> list[Likelihood]:
        """See `TextModel`."""
        return _in_parts(self._model.likelihoods, pairs, progress)

    def complete_tokens(
        self,
        rows: Sequence[Sequence[int]],
        max_new_tokens: int,
        stop: Sequence[str] = (),
        progress: Progress | None = None,
        decided: Decided | None = None,
    ) -> list[Completion]:
        """See `TokenModel`."""
        return _in_parts(
            lambda part: self._model.complete_tokens(part, max_new_tokens, stop, None, decided), rows, progress
        )

    def likelihoods_of_tokens(
        self, rows: Sequence[tuple[Sequence[int], Sequence[int]]], progress: Progress | None = None
    ) -> list[Likelihood]:
        """See `TokenModel`."""
        return _in_parts(self._model.likelihoods_of_tokens, rows, progress)


def _in_parts(ask: Callable[[Sequence[T]], list[R]], rows: Sequence[T], progress: Progress | None) -> list[R]:
    size = max(1, min(len(rows), MAX_BATCH) // 2)
    found: list[R] = []
    for start in range(0, len(rows), size):
        found += ask(rows[start : start + size])
        if progress:
            progress(len(found), len(rows))
    return found


def load_languages() -> None:
    """The detector's models, which take a second or two: better now than before the first candidate's score."""
    language_of("A short English text.", "en")
    language_of("短い日本語の文です。", "ja")


if __name__ == "__main__":
    follow_the_supervisor()
    line = private_line()
    load_languages()
    serve(line, WorkbenchComputer(Workbench(engine=engine())))
