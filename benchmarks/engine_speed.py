"""Completions per second beside the library's own `generate` called in the usual way, on the demo and on a model of 125 M parameters.

    .venv/bin/python -m benchmarks.engine_speed [TURNS] [demo | synthetic]

Usual way: prompts padded on the left in batches, the questions in their order or sorted by length, with torch's own number of threads. A
first turn tries every batch size; the fastest is then measured in turns with the engine, each in a process of its own. For a model that
the engine gives one thread, one engine for each core answers all questions at the same time as well: what the machine can do. Prints
Markdown.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
)

from benchmarks.candidate_seconds import _space
from benchmarks.synthetic import word_tokenizer
from merging.benchmarks import benchmarks
from merging.engines.transformers import TransformersEngine
from merging.memory import keep_freed_memory
from merging.workbench import Workbench

VOCABULARY = 32_000


@dataclass(frozen=True)
class Task:
    """Prompts for the model in a folder."""

    name: str
    folder: Path
    prompts: list[str]
    max_new_tokens: int
    batches: tuple[int, ...]
    n_engines: int = 1


@dataclass(frozen=True)
class Way:
    """How `generate` is called; None is this engine."""

    batch: int
    is_sorted: bool

    def __str__(self) -> str:
        return f"generate, batches of {self.batch}, {'sorted by length' if self.is_sorted else 'in the order of the questions'}"


@dataclass(frozen=True)
class Turn:
    """What one pass over all prompts took, and its texts."""

    wall: float
    processor: float
    texts: list[str]


def main(turns: int = 3, which: str = "") -> None:
    """Measure and print."""
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}\n")
    print(
        "| model | way | completions per second | processor seconds | times as fast: wall / processor | equal texts |"
    )
    print("|---|---|---:|---:|---:|---:|")
    with TemporaryDirectory() as folder:
        for make in (demo, synthetic):
            if which in ("", make.__name__):
                _compare(make(Path(folder) / make.__name__), turns)


def demo(folder: Path) -> Task:
    """A merged model of the demo, 0.75 M parameters, and half the search split of its benchmark."""
    Workbench("cpu").build(_space("task_arithmetic").origin, folder)
    benchmark = benchmarks.get("japanese-sums").load()
    prompts = [benchmark.rendered(sample) for sample in benchmark.take("search", 200)]
    return Task("demo, 0.75 M", folder, prompts, 48, (32, 64, 128, 200), os.cpu_count() or 1)


def synthetic(folder: Path) -> Task:
    """Random tensors; 48 prompts of 8 to 96 tokens; one token in 40 ends a completion, so that their lengths are mixed."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=768,
        intermediate_size=1792,
        num_hidden_layers=12,
        num_attention_heads=12,
        initializer_range=0.1,
        max_position_embeddings=512,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = LlamaForCausalLM(config)
    ends = list(range(2, VOCABULARY, 40))
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=0, bos_token_id=1)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    word_tokenizer(VOCABULARY).save_pretrained(folder)
    draw = random.Random(0)
    prompts = [" ".join(f"w{draw.randrange(4, VOCABULARY)}" for _ in range(draw.randint(8, 96))) for _ in range(48)]
    return Task(f"synthetic, {model.num_parameters() / 1e6:.0f} M", folder, prompts, 64, (8, 16, 48))


def _compare(task: Task, turns: int) -> None:
    with ExitStack() as stack:
        library, *engines = [stack.enter_context(_asked(task)) for _ in range(1 + task.n_engines)]
        _at_once(engines)  # warms up, as trying every way does
        ways = [Way(size, is_sorted) for size in task.batches for is_sorted in (False, True)]
        best = min(ways, key=lambda way: library(way).wall)
        ours, theirs, together = [], [], []
        for _ in range(turns):
            ours.append(engines[0](None))
            theirs.append(library(best))
            together.append(_at_once(engines))
    same = sum(a == b for a, b in zip(ours[0].texts, theirs[0].texts, strict=True))
    n = len(task.prompts)
    print(f"| {task.name} | {best} | {_speed(theirs, n)} | | |")
    print(f"| | this engine | {_speed(ours, n)} | {_ratios(theirs, ours)} | {same} of {n} |")
    if len(engines) > 1:
        n *= len(engines)
        print(
            f"| | {len(engines)} of them at the same time | {_speed(together, n)} | {_ratios(theirs, together, len(engines))} | |"
        )
    for prompt, a, b in zip(task.prompts, ours[0].texts, theirs[0].texts, strict=True):
        if a != b:
            print(f"<!-- differs where two logits are {_gap(task, prompt, a, b):.1e} of their size apart -->")


def _at_once(engines: Sequence[Callable[[Way | None], Turn]]) -> Turn:
    """All questions answered by each engine: until the last one is done."""
    with ThreadPoolExecutor(len(engines)) as pool:
        turns = list(pool.map(lambda engine: engine(None), engines))
    return Turn(max(turn.wall for turn in turns), sum(turn.processor for turn in turns), turns[0].texts)


def _ratios(theirs: Sequence[Turn], ours: Sequence[Turn], times: int = 1) -> str:
    """How many times as fast; ours answered the questions so many times."""
    pairs = list(zip(ours, theirs, strict=True))
    wall = median(times * b.wall / a.wall for a, b in pairs)
    return f"{wall:.2f} / {median(times * b.processor / a.processor for a, b in pairs):.2f}"


def _speed(turns: Sequence[Turn], n: int) -> str:
    return f"{n / min(turn.wall for turn in turns):.1f} | {min(turn.processor for turn in turns):.2f}"


@contextmanager
def _asked(task: Task) -> Iterator[Callable[[Way | None], Turn]]:
    """A process that answers."""
    here, there = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_answer, args=(task, there))
    process.start()

    def ask(way: Way | None) -> Turn:
        here.send(way)
        turn: Turn = here.recv()
        return turn

    yield ask
    here.send("end")
    process.join()


def _answer(task: Task, line: Connection) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(task.folder, dtype=torch.float32).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(task.folder, padding_side="left")
    while (way := line.recv()) != "end":
        if way is None:
            keep_freed_memory()  # as a workbench does
        began = time.perf_counter(), time.process_time()
        if way is None:
            found = TransformersEngine(model, tokenizer).complete(task.prompts, task.max_new_tokens)
            texts = [completion.text for completion in found]
        else:
            texts = _generate(model, tokenizer, task, way)
        line.send(Turn(time.perf_counter() - began[0], time.process_time() - began[1], texts))


def _generate(model: Any, tokenizer: Any, task: Task, way: Way) -> list[str]:
    prompts = sorted(task.prompts, key=lambda p: len(tokenizer(p)["input_ids"])) if way.is_sorted else task.prompts
    texts: dict[str, str] = {}
    for start in range(0, len(prompts), way.batch):
        some = prompts[start : start + way.batch]
        inputs = tokenizer(some, return_tensors="pt", padding=True, return_token_type_ids=False)
        with torch.inference_mode():
            output = model.generate(**inputs, max_new_tokens=task.max_new_tokens, do_sample=False)
        answers = tokenizer.batch_decode(
            _cut(model, output[:, inputs["input_ids"].shape[1] :]), skip_special_tokens=True
        )
        texts.update(zip(some, answers, strict=True))
    return [texts[prompt] for prompt in task.prompts]


def _cut(model: Any, rows: torch.Tensor) -> list[list[int]]:
    """Without the end token, which a tokenizer that does not know it as special would print."""
    ends = model.generation_config.eos_token_id
    stops = set(ends if isinstance(ends, list) else [ends])
    return [row[: next((i for i, token in enumerate(row) if token in stops), len(row))] for row in rows.tolist()]


def _gap(task: Task, prompt: str, a: str, b: str) -> float:
    """How near two logits were where two texts part, as a share of the larger."""
    model: Any = AutoModelForCausalLM.from_pretrained(task.folder, dtype=torch.float32).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(task.folder)
    before, *rows = [tokenizer(text, add_special_tokens=text is prompt)["input_ids"] for text in (prompt, a, b)]
    n = next((i for i, (x, y) in enumerate(zip(*rows, strict=False)) if x != y), min(map(len, rows)))
    with torch.inference_mode():
        logits = model(torch.tensor([before + rows[0][:n]])).logits[0, -1]
    first, second = logits.topk(2).values.tolist()
    return abs(first - second) / abs(first)


if __name__ == "__main__":
    main(*(int(argument) if argument.isdigit() else argument for argument in sys.argv[1:]))  # type: ignore[arg-type]
