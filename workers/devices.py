"""The device process: a workbench that stays warm, behind a pipe. Imports torch; knows no database, no lease and no run.

python -m workers.devices
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, TypeVar

import torch

from merging.benchmarks import Benchmark, BenchmarkSpec, Questions, Sample, Split
from merging.benchmarks.languages import language_of
from merging.cards import CARD
from merging.chats import chats
from merging.engines import Progress, TextModel
from merging.errors import ConversionError, MergingError
from merging.evaluation import Evaluation, Stage, evaluate, summarise
from merging.exports import RECIPE
from merging.fidelity import Answers, Estimate, Plan, Pool, Positions, ask_by, plan_from_json
from merging.finished.after import check_after
from merging.finished.before import GREETING, check_before
from merging.finished.gguf import MISSING, convert, find_tools
from merging.folders import SUMS, BuiltFile, flush, with_sums
from merging.objectives import estimated
from merging.outcomes import SampleOutcome
from merging.recipes import Recipe
from merging.tokenizers import default_template, special_words
from merging.words import counted
from merging.workbench import Workbench
from webapp.env import engine, llama_cpp
from workers.failures import is_out_of_memory
from workers.pipes import Message, Reporter, ignore_ctrl_c, private_line, serve

GIB: Final = 2**30
T = TypeVar("T")


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
        return f"CPU, {counted(n_cores or 1, 'core')}"

    def evaluate(self, request: Message, progress: Reporter) -> Message:
        """Score a recipe; out of memory, once more from a cleared bench with half as many rows at once, and so ever after."""
        recipe = Recipe.from_json(request["recipe"])
        asks = [Ask(BenchmarkSpec.from_json(ask["benchmark"]).load(ask["key"]), ask["n"]) for ask in request["asks"]]
        plan = plan_from_json(request["plan"]) if request["plan"] else None

        def score_of(model: TextModel) -> tuple[list[Evaluation], list[Positions] | None]:
            if plan:
                return evaluate_by(plan, model, asks, progress)
            return evaluate_all(model, asks, request["split"], progress), None

        began = time.perf_counter()
        scores, positions = self._scored(recipe, score_of, progress)
        evaluate_seconds = sum(score.seconds for score in scores)
        merge_seconds = time.perf_counter() - began - evaluate_seconds
        seconds = {"merge_seconds": merge_seconds, "evaluate_seconds": evaluate_seconds}
        return {"scores": [score.to_json() for score in scores], "positions": positions, **seconds}

    def build(self, request: Message, progress: Reporter) -> Message:
        """Check a recipe, write its model as a folder, load that in a fresh process, and make a GGUF file of it where one is wanted."""
        recipe, folder = Recipe.from_json(request["recipe"]), Path(request["folder"])
        progress("check", 0, 1)
        before = check_before(recipe)
        files = self._bench.build(recipe, folder, request["texts"], progress)
        progress("prove", 0, 1)
        said = check_after(folder, _prompts(request, folder), lambda: progress("prove", 0, 1))
        if wanted := request["gguf"]:
            files = _as_gguf(folder, wanted, progress)
        checks = {"before": [check.to_json() for check in before], "said": [one.to_json() for one in said]}
        return {"files": [asdict(file) for file in files], "checks": checks}

    def try_out(self, request: Message, progress: Reporter) -> Message:
        """Ask the first samples of the search split as `evaluate` does, fewer where there are fewer, and say what the model read."""
        recipe = Recipe.from_json(request["recipe"])
        found = [(BenchmarkSpec.from_json(ask["benchmark"]).load(), ask["n"]) for ask in request["asks"]]
        asks = [Ask(benchmark, min(n, len(benchmark.take("search")))) for benchmark, n in found]
        began = time.perf_counter()
        scores = self._scored(recipe, lambda model: evaluate_all(model, asks, "search", progress), progress)
        seconds = time.perf_counter() - began
        model = self._bench.model(recipe, progress)
        return {"tried": [_tried(model, *one) for one in zip(asks, scores, strict=True)], "seconds": seconds}

    def _scored(self, recipe: Recipe, score_of: Callable[[TextModel], T], progress: Reporter) -> T:
        """What the recipe's model scores; out of memory, once more from a cleared bench that asks for less."""
        try:
            return score_of(self._bench.model(recipe, progress))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._bench.ask_less()
            return _once_more(lambda: score_of(self._bench.model(recipe, progress)))


def _prompts(request: Message, folder: Path) -> list[str]:
    """The first questions of the first benchmark that can be read here, asked as they were asked in the search; else a greeting."""
    for ask in request["asks"]:
        try:
            benchmark = BenchmarkSpec.from_json(ask["benchmark"]).load()
            samples = benchmark.take("search", min(ask["n"], len(benchmark.take("search"))))
            asked = [benchmark.rendered(sample) for sample in samples]
            if isinstance(benchmark, Questions) and benchmark.as_chat:
                return list(chats(default_template(folder), json.dumps(special_words(folder)), tuple(asked)))
        except MergingError:
            continue
        return asked
    return [GREETING]


def _as_gguf(folder: Path, wanted: Message, progress: Reporter) -> list[BuiltFile]:
    """The folder's model as one file; of all other files only those stay that people read."""
    tools = find_tools(llama_cpp())
    if tools is None:
        raise ConversionError(MISSING)
    made = folder / wanted["name"]
    convert(folder, made, wanted["variant"], tools, lambda share: progress("convert", round(1000 * share), 1000))
    for path in folder.iterdir():
        if path.name not in (made.name, CARD, RECIPE):
            path.unlink()
    flush(made)
    files = with_sums(folder, {})
    flush(folder / SUMS)
    flush(folder)
    return files


def _tried(model: TextModel, ask: Ask, score: Evaluation) -> Message:
    """The fields of `webapp.trials.results.Tried`."""
    samples = ask.benchmark.take("search", ask.n)
    prompts = ask.benchmark.prompts(model, samples)
    questions = [
        {
            "prompt": prompt,
            "completion": outcome.completion,
            "extracted": outcome.extracted,
            "expected": sample.answer,
            "language": sample.language if ask.benchmark.language_gate else None,
            "spoken": outcome.language,
            "right": outcome.right,
            "score": outcome.score,
            "finished": outcome.finished,
            "seconds": outcome.seconds,
            "error": outcome.error,
        }
        for sample, prompt, outcome in zip(samples, prompts, score.outcomes, strict=True)
    ]
    as_chat = prompts != [ask.benchmark.rendered(sample) for sample in samples]
    return {"benchmark": ask.benchmark.name, "scorer": score.scorer, "as_chat": as_chat, "questions": questions}


def _once_more(score: Callable[[], T]) -> T:
    """The score, or an error that says that this was the second try."""
    try:
        return score()
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            error.add_note("also with half the batch")
        raise


def evaluate_all(model: TextModel, asks: Sequence[Ask], split: Split, progress: Reporter) -> list[Evaluation]:
    """The model's score on each benchmark, one after the other; progress counts the samples of all."""
    total = sum(ask.n for ask in asks)
    found: list[Evaluation] = []
    for ask in asks:
        report = _report(progress, sum(score.n for score in found), ask.n, total)
        found.append(evaluate(model, ask.benchmark, split, ask.n, _of_samples(report)))
    return found


def evaluate_by(
    plan: Plan, model: TextModel, asks: Sequence[Ask], progress: Reporter
) -> tuple[list[Evaluation], list[Positions]]:
    """What the plan makes of the answers, for each benchmark, with the positions of the samples that it asked, in their order."""
    samples = [ask.benchmark.take("search", ask.n) for ask in asks]
    asked: list[dict[int, SampleOutcome]] = [{} for _ in asks]
    seconds = [0.0 for _ in asks]

    def answer(block: Positions) -> Answers:
        for index, positions in enumerate(plan.pool.by_part(block)):
            if positions:
                began = time.perf_counter()
                chosen = [samples[index][position] for position in positions]
                before = sum(map(len, asked))
                found = asks[index].benchmark.ask(model, chosen, _report(progress, before, len(chosen), plan.n_asked))
                asked[index] |= dict(zip(positions, found, strict=True))
                seconds[index] += time.perf_counter() - began
        return _answers(plan.pool, block, asks, samples, asked)

    estimates = plan.estimate(ask_by(plan, answer))
    scores = [
        _score(ask.benchmark, [found[place] for place in sorted(found)], spent, estimate)
        for ask, found, spent, estimate in zip(asks, asked, seconds, estimates, strict=True)
    ]
    return scores, [tuple(sorted(found)) for found in asked]


def _score(benchmark: Benchmark, outcomes: list[SampleOutcome], seconds: float, estimate: Estimate) -> Evaluation:
    """What is estimated; where everything was asked, the same as without a plan, to the last bit."""
    found = summarise(benchmark, "search", outcomes, seconds)
    return estimated(found, estimate) if estimate.is_estimate else found


def _answers(
    pool: Pool,
    block: Positions,
    asks: Sequence[Ask],
    samples: Sequence[Sequence[Sample]],
    asked: Sequence[dict[int, SampleOutcome]],
) -> Answers:
    outcomes, languages = [], []
    for place in block:
        index = next(i for i, found in enumerate(pool.ranges) if place in found)
        position = place - pool.ranges[index].start
        outcomes.append(asked[index][position])
        gated = asks[index].benchmark.language_gate
        languages.append(float(outcomes[-1].language == samples[index][position].language) if gated else None)
    right = tuple(float(outcome.right) for outcome in outcomes)
    return Answers(block, tuple(outcome.score for outcome in outcomes), right, tuple(languages))


def _report(progress: Reporter, before: int, n: int, total: int) -> Progress:
    return lambda done, of: progress("evaluate", before + (n * done // of if of else 0), total)


def _of_samples(report: Progress) -> Callable[[Stage, int, int], None]:
    return lambda stage, done, of: report(done, of)


def load_languages() -> None:
    """The detector's models, which take a second or two: better now than before the first candidate's score."""
    language_of("A short English text.", "en")
    language_of("短い日本語の文です。", "ja")


if __name__ == "__main__":
    ignore_ctrl_c()
    line = private_line()
    load_languages()
    serve(line, WorkbenchComputer(Workbench(engine=engine())))
