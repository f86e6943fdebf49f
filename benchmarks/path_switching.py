"""What a candidate of a data-flow run costs before it is asked: time to switch, and memory, beside two models that are simply loaded.

    .venv/bin/python -m benchmarks.path_switching FOLDER [--candidates N] [--answered N]

FOLDER takes the synthetic parents of `benchmarks.merge_speed`. Candidates are drawn as the first generation of a search draws them, with
the paper's three repeats and a scale for each slot. A switch is all that happens between two candidates: the recipe's digest, the
check of the parents' files, the configuration, the views. On a busy machine the fastest is nearest to what an idle one takes.

Memory is told twice. Tensors: all storages that are alive while nothing is computed. The process: RssAnon beyond what it had with its
libraries loaded, after the first of the answered candidates and after the last, what the C library keeps of freed memory given back to
the system, and the peak while they answer, caches and what is kept included.
Every line is measured in a process of its own.
"""

from __future__ import annotations

import ctypes
import gc
import json
import statistics
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.merge_speed import ROOT, make_parents, this_machine
from merging.demo import PACK
from merging.engines.transformers import TransformersEngine
from merging.fingerprints import fingerprint
from merging.indexes import parent_facts
from merging.path_genomes import path_space
from merging.recipes import Parent, Recipe, passthrough_recipe
from merging.workbench import Workbench

CASES: Final = ("demo", "125m")
REPEATS: Final = 3
SIGMA: Final = 1 / 6
ROOM: Final = 8 * 10**9
ROWS: Final = [[3 + (7 * i + j) % 200 for j in range(48)] for i in range(16)]
"""Prompts, as tokens."""
N_NEW: Final = 8
MB: Final = 10**6

Report = dict[str, float]


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    given = _parser().parse_args(arguments)
    if given.part:
        measure = {"paths": _paths, "loaded": _loaded, "built": _built}[given.part]
        print(json.dumps(measure(_folders(given.case, given.folder), given)))
        return
    print(this_machine(None) + "\n")
    found = {
        case: {part: _in_process(case, part, arguments) for part in ("paths", "loaded", "built")} for case in CASES
    }
    print("| | " + " | ".join(CASES) + " |\n|---|" + "---:|" * len(CASES))
    for words, value in _lines():
        print(f"| {words} | " + " | ".join(value(found[case]) for case in CASES) + " |")


def _lines() -> Iterator[tuple[str, Callable[[dict[str, Report]], str]]]:
    """What stands in front of a line, and the line of a case."""

    def span(of: dict[str, Report]) -> str:
        return f"{of['paths']['hops_least']:.0f} to {of['paths']['hops_most']:.0f}"

    def switch(of: dict[str, Report]) -> str:
        return " / ".join(f"{of['paths'][name]:.2f}" for name in ("fastest", "median", "slowest"))

    yield "hops of a candidate", span
    yield "switch, ms: fastest / median / slowest", switch
    yield "first candidate, which reads both parents, ms", lambda of: f"{of['paths']['first']:.0f}"
    yield "the same paths built as folders and loaded, median ms", lambda of: f"{of['built']['median']:.0f}"
    yield "tensors of both parents, loaded, MB", lambda of: f"{of['loaded']['tensors']:.1f}"
    yield (
        "tensors of the run, first / last candidate, MB",
        lambda of: " / ".join(f"{of['paths'][name]:.1f}" for name in ("tensors_first", "tensors_last")),
    )
    yield "process with both parents loaded, MB", lambda of: f"{of['loaded']['process']:.0f}"
    yield (
        "process of the run, first / last candidate, MB",
        lambda of: " / ".join(f"{of['paths'][name]:.0f}" for name in ("process_first", "process_last")),
    )
    yield "keys and values of 16 rows of 56 tokens on its longest path, MB", lambda of: f"{of['paths']['cache']:.0f}"
    yield "process of the run at its peak, MB", lambda of: f"{of['paths']['process_peak']:.0f}"


def _paths(folders: Sequence[Path], given: Any) -> Report:
    """A data-flow run without a search."""
    recipes = _recipes(folders, given.candidates + 1)
    before = _anonymous()
    bench = Workbench("cpu", ROOM)
    first = _milliseconds(lambda: bench.model(recipes[0]))
    switches = [_milliseconds(lambda recipe=recipe: bench.model(recipe)) for recipe in recipes[1:]]  # type: ignore[misc]
    tensors, process, peak = [], [], [0]
    for recipe in recipes[: given.answered]:
        engine = bench.model(recipe)
        engine.complete_tokens(ROWS, N_NEW, progress=lambda done, total: peak.append(_anonymous()))
        tensors.append(_tensor_bytes())
        process.append(_anonymous_at_rest())
    hops = [recipe.n_layers or 0 for recipe in recipes]
    model: Any = bench._seat.engine._model  # type: ignore[union-attr]
    a_column = 2 * model.config.num_key_value_heads * model.config.head_dim * 4
    return {
        "hops_least": min(hops),
        "hops_most": max(hops),
        "first": first,
        "fastest": min(switches),
        "median": statistics.median(switches),
        "slowest": max(switches),
        "tensors_first": tensors[0] / MB,
        "tensors_last": tensors[-1] / MB,
        "process_first": (process[0] - before) / MB,
        "process_last": (process[-1] - before) / MB,
        "process_peak": (max(peak) - before) / MB,
        "cache": len(ROWS) * (len(ROWS[0]) + N_NEW) * a_column * max(hops[: given.answered]) / MB,
    }


def _loaded(folders: Sequence[Path], given: Any) -> Report:
    """Both parents as the library loads them, in the dtype that a CPU computes in; the first answers."""
    before = _anonymous()
    models: list[Any] = [AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32) for folder in folders]
    engine = TransformersEngine(models[0], AutoTokenizer.from_pretrained(folders[0]))
    engine.complete_tokens(ROWS, N_NEW)
    return {"tensors": _tensor_bytes() / MB, "process": (_anonymous_at_rest() - before) / MB}


def _built(folders: Sequence[Path], given: Any) -> Report:
    """Without a live path: a folder for each candidate, scored as a model of its own."""
    bench, found = Workbench("cpu", ROOM), []
    for number, recipe in enumerate(_recipes(folders, 5)):
        folder = given.folder / f"built {number}"

        def build_and_load(recipe: Recipe = recipe, folder: Path = folder) -> None:
            bench.build(recipe, folder)
            bench.model(passthrough_recipe(Parent(folder.name, str(folder), fingerprint(folder)), "bfloat16"))

        found.append(_milliseconds(build_and_load))
        subprocess.run(["rm", "-r", str(folder)], check=True)
    return {"median": statistics.median(found)}


def _recipes(folders: Sequence[Path], n: int) -> list[Recipe]:
    """As a search begins."""
    space = path_space(
        parents=tuple(Parent(folder.name, str(folder), fingerprint(folder)) for folder in folders),
        n_layers=[parent_facts(folder).n_layers for folder in folders],
        repeats=REPEATS,
        scales="slot",
        max_hops=10_000,
        dtype="bfloat16",
        seed=0,
    )
    luck, starts = np.random.default_rng(0), np.array(space.axes.starts)
    genomes = (starts + SIGMA * luck.standard_normal((n, len(starts)))).clip(0, 1)
    return [space.decode(tuple(genes)) for genes in genomes.tolist()]


def _tensor_bytes() -> int:
    """Of all tensors that are alive, each storage once."""
    gc.collect()
    found = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in gc.get_objects()
        if issubclass(type(tensor), torch.Tensor)  # a look at some of the library's objects for more than that warns
    }
    return sum(found.values())


def _anonymous_at_rest() -> int:
    ctypes.CDLL(None).malloc_trim(0)
    return _anonymous()


def _anonymous() -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon:"))


def _milliseconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def _folders(case: str, folder: Path) -> list[Path]:
    return [PACK / "japanese", PACK / "addition"] if case == "demo" else make_parents(folder / case, case)[1:3]


def _in_process(case: str, part: str, arguments: Sequence[str]) -> Report:
    command = [sys.executable, "-m", "benchmarks.path_switching", *arguments, "--case", case, "--part", part]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    found: Report = json.loads(done.stdout.splitlines()[-1])
    return found


def _parser() -> ArgumentParser:
    parser = ArgumentParser(description="Switching time and memory of paths.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--answered", type=int, default=10)
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--part", choices=("paths", "loaded", "built"))
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
