"""Seconds for one candidate of the demo, by method: merge and evaluation apart, and the library's own `generate` beside them.

    .venv/bin/python benchmarks/candidate_seconds.py [QUESTIONS] [REPEATS]

Prints a Markdown table: the fastest of the repeats, as wall and as processor seconds, because other work on the machine only adds to the
first. `generate` runs on the same merged model in the same process: all questions padded into one batch, and one question at a time.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from merging.benchmarks import Benchmark, benchmarks
from merging.demo import PACK
from merging.genomes import GenomeSpace, parameter_space
from merging.indexes import parent_facts
from merging.methods import methods
from merging.recipes import Parent, Recipe
from merging.threads import threads_for
from merging.workbench import Workbench

EXPERTS = ("japanese", "addition")


@dataclass(frozen=True)
class Seconds:
    """The fastest of several runs."""

    wall: float
    processor: float

    def __str__(self) -> str:
        return f"{self.wall:.3f} / {self.processor:.3f}"


def main(n: int = 100, repeats: int = 5) -> None:
    """Measure and print."""
    bench, asked = Workbench("cpu"), benchmarks.get("japanese-sums").load()
    print(f"{n} questions, fastest of {repeats}: wall / processor seconds\n")
    print("| method | genes | merge | evaluate |\n|---|---:|---:|---:|")
    for method in methods:
        if method.per_parent():
            space = _space(method.name)
            merge, evaluate = _candidate(bench, space, asked, n, repeats)
            print(f"| {method.name} | {space.n_genes} | {merge} | {evaluate} |")
    _print_generate(bench, asked, n)


def _candidate(bench: Workbench, space: GenomeSpace, asked: Benchmark, n: int, repeats: int) -> tuple[Seconds, Seconds]:
    """Other weights every time, as in a search, and near the centre, so that completions have their usual length."""
    merges, evaluations = [], []
    for turn in range(repeats + 1):
        recipe = space.decode(tuple(0.5 + 0.01 * (turn % 3 - 1) for _ in range(space.n_genes)))
        merges.append(_timed(lambda recipe=recipe: bench.model(recipe)))  # type: ignore[misc]
        evaluations.append(_timed(lambda recipe=recipe: bench.evaluate(recipe, asked, "search", n)))  # type: ignore[misc]
    return _fastest(merges[1:]), _fastest(evaluations[1:])  # the first ones warm up


def _print_generate(bench: Workbench, asked: Benchmark, n: int) -> None:
    recipe = _space("task_arithmetic").origin
    prompts = [asked.rendered(sample) for sample in asked.take("search", n)]
    ours = [completion.text for completion in bench.model(recipe).complete(prompts, asked.max_new_tokens)]
    model, tokenizer = _loaded(recipe, bench)
    print("\n| completions | seconds | per second | equal to ours |\n|---|---:|---:|---:|")
    rows: list[tuple[str, Callable[[], list[str]]]] = [
        ("this engine", lambda: [c.text for c in bench.model(recipe).complete(prompts, asked.max_new_tokens)]),
        ("generate, one batch", lambda: _generate(model, tokenizer, prompts, asked.max_new_tokens)),
        ("generate, one by one", lambda: [_generate(model, tokenizer, [p], asked.max_new_tokens)[0] for p in prompts]),
    ]
    for name, complete in rows:
        texts: list[str] = []
        with threads_for(model.num_parameters()):
            complete()
            seconds = _timed(lambda texts=texts, complete=complete: texts.extend(complete()))  # type: ignore[misc]
        same = sum(a == b for a, b in zip(ours, texts, strict=True))
        print(f"| {name} | {seconds} | {n / seconds.processor:.0f} | {same} of {n} |")


def _generate(model: Any, tokenizer: Any, prompts: list[str], max_new_tokens: int) -> list[str]:
    inputs = tokenizer(prompts, return_tensors="pt", padding=True)
    with torch.inference_mode():
        output = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
    texts: list[str] = tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return texts


def _loaded(recipe: Recipe, bench: Workbench) -> tuple[Any, Any]:
    """The merged model as a user loads it."""
    with TemporaryDirectory() as folder:
        bench.build(recipe, Path(folder) / "merged")
        model: Any = AutoModelForCausalLM.from_pretrained(Path(folder) / "merged", dtype=torch.float32)
        return model, AutoTokenizer.from_pretrained(Path(folder) / "merged", padding_side="left")


def _space(method: str) -> GenomeSpace:
    base = parent_facts(PACK / "base")
    return parameter_space(
        method=method,
        parents=tuple(_parent(name) for name in EXPERTS),
        base=_parent("base") if methods.get(method).needs_base else None,
        n_layers=base.n_layers,
        groups="block",
        settings=(),
        seed=0,
        dtype="float32",
        tied_embeddings=base.tied_embeddings,
    )


def _parent(name: str) -> Parent:
    return Parent(name, str(PACK / name), parent_facts(PACK / name).fingerprint)


def _timed(work: Callable[[], object]) -> Seconds:
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return Seconds(time.perf_counter() - wall, time.process_time() - processor)


def _fastest(runs: list[Seconds]) -> Seconds:
    return Seconds(min(run.wall for run in runs), min(run.processor for run in runs))


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
