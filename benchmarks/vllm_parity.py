"""Samples a second of vLLM, of this engine and of the library's `generate`, on a GPU; and whether they say the same.

    python -m benchmarks.vllm_parity [--parents FOLDER FOLDER] [--questions N] [--new-tokens N] [--candidates N] [--dtype DTYPE]

Candidates are averages of two parents, the demo's experts if none are given. The questions are the demo's, of which as many as
there are on the search split. The first candidate starts an engine and warms it up; it is told apart. A push is the merge with
all that brings its tensors into the running engine; engines answer the same candidates in the same process, one after another.
Needs an environment with vLLM: docs/vllm.md. Only `merging/` runs, so neither a database nor a broker is needed.
"""

from __future__ import annotations

import gc
import statistics
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from merging.benchmarks import benchmarks
from merging.demo import PACK
from merging.engines import EngineName
from merging.indexes import parent_facts
from merging.recipes import DTYPES, Parent, Recipe, uniform_average
from merging.workbench import Workbench

ENGINES: Final[tuple[EngineName, ...]] = ("transformers", "vllm")
BATCHES: Final = (64, 128, 256, 512)
"""Of `generate`; the fastest is told."""

Texts = list[list[str]]
"""Of every candidate."""


def main(given: Namespace) -> None:
    """Measure and print."""
    recipes, prompts = _recipes(given), _prompts(given.questions)
    card = torch.cuda.get_device_properties(0)
    print(f"{card.name}; torch {torch.__version__}, transformers {version('transformers')}, vLLM {version('vllm')}")
    print(f"{len(prompts)} questions, {given.new_tokens} new tokens at most, {given.dtype}\n")
    print("| engine | start s | push s | samples/s | texts equal to the first engine's |\n|---|---:|---:|---:|---:|")
    expected: Texts = []
    for name in ENGINES:
        texts = _measure(name, recipes, prompts, given.new_tokens, expected)
        expected = expected or texts
    _measure_generate(recipes[-1], prompts, given.new_tokens, expected[-1])


def _measure(name: EngineName, recipes: Sequence[Recipe], prompts: list[str], n: int, expected: Texts) -> Texts:
    bench, texts = Workbench("cuda:0", engine=name), Texts()
    start = _seconds(lambda: bench.model(recipes[0]).complete(prompts, n))
    pushes, answers = [], []
    for recipe in recipes[1:]:
        pushes.append(_seconds(lambda recipe=recipe: bench.model(recipe)))  # type: ignore[misc]
        done: list[str] = []
        answers.append(
            _seconds(lambda recipe=recipe, done=done: done.extend(_texts(bench, recipe, prompts, n)))  # type: ignore[misc]
        )
        texts.append(done)
    _print_row(name, f"{start:.1f}", f"{statistics.median(pushes):.3f}", len(prompts) / min(answers), texts, expected)
    bench.close()
    gc.collect()
    torch.cuda.empty_cache()
    return texts


def _texts(bench: Workbench, recipe: Recipe, prompts: list[str], n: int) -> list[str]:
    return [completion.text for completion in bench.model(recipe).complete(prompts, n)]


def _measure_generate(recipe: Recipe, prompts: list[str], n: int, expected: list[str]) -> None:
    """Of the last candidate, loaded as a user loads it."""
    with TemporaryDirectory() as folder:
        Workbench("cuda:0").build(recipe, Path(folder) / "merged")
        model: Any = AutoModelForCausalLM.from_pretrained(Path(folder) / "merged", dtype="auto").to("cuda:0").eval()
        tokenizer: Any = AutoTokenizer.from_pretrained(Path(folder) / "merged", padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    best, texts = float("inf"), list[str]()
    for size in BATCHES:
        parts = [prompts[i : i + size] for i in range(0, len(prompts), size)]
        _generate(model, tokenizer, parts[0], n)
        done: list[str] = []

        def ask(parts: list[list[str]] = parts, done: list[str] = done) -> None:
            for part in parts:
                done.extend(_generate(model, tokenizer, part, n))

        if (seconds := _seconds(ask)) < best:
            best, texts, chosen = seconds, done, size
    _print_row(f"generate, {chosen} at once", "", "", len(prompts) / best, [texts], [expected])


@torch.inference_mode()
def _generate(model: Any, tokenizer: Any, prompts: list[str], n: int) -> list[str]:
    inputs = tokenizer(prompts, return_tensors="pt", padding=True).to(model.device)
    output = model.generate(
        input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, max_new_tokens=n, do_sample=False
    )
    texts: list[str] = tokenizer.batch_decode(output[:, inputs.input_ids.shape[1] :], skip_special_tokens=True)
    return texts


def _print_row(name: str, start: str, push: str, rate: float, texts: Texts, expected: Texts) -> None:
    pairs = [pair for of in zip(texts, expected or texts, strict=True) for pair in zip(*of, strict=True)]
    same = sum(a == b for a, b in pairs)
    print(f"| {name} | {start} | {push} | {rate:.0f} | {same} of {len(pairs)} |", flush=True)


def _recipes(given: Namespace) -> list[Recipe]:
    parents = tuple(Parent(folder.name, str(folder), parent_facts(folder).fingerprint) for folder in given.parents)
    even = uniform_average(parents, given.dtype)
    shares = [0.2 + 0.6 * i / given.candidates for i in range(given.candidates + 1)]
    return [replace(even, values=(({"weight": share}, {"weight": 1 - share}),)) for share in shares]


def _prompts(n: int) -> list[str]:
    asked = benchmarks.get("japanese-sums").load()
    return [asked.rendered(sample) for sample in asked.take("search", n)]


def _seconds(work: Callable[[], object]) -> float:
    torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - started


def _parser() -> ArgumentParser:
    parser = ArgumentParser(description="Samples a second of vLLM, of this engine and of `generate`.")
    parser.add_argument(
        "--parents", nargs=2, type=lambda text: Path(text).resolve(), default=[PACK / "japanese", PACK / "addition"]
    )
    parser.add_argument("--questions", type=int, default=400)
    parser.add_argument("--new-tokens", type=int, default=40)
    parser.add_argument("--candidates", type=int, default=4)
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    return parser


if __name__ == "__main__":
    main(_parser().parse_args())
