"""CatCMAwM against CMA-ES with thresholds: how good the best path is after as many evaluations, over ten seeds.

    .venv/bin/python -m benchmarks.path_search run FOLDER [--seeds 1 2 3] [--functions mixed-sphere demo]
    .venv/bin/python -m benchmarks.path_search table FOLDER

Synthetic functions have 20 switches, 6 of which start on, and 20 scales; a hidden half of the switches should be on, each with a hidden
scale. `demo` is the demo pack's japanese-choices, 40 search questions, paths through `addition` and `japanese` that start near the first.
FOLDER keeps each finished search as a line; `run` goes on where it was stopped, and several may share a folder if their seeds or
functions differ. One process uses one core if OMP_NUM_THREADS is 1.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from benchmarks.seeds import append, lines, plus_minus, sign_flips, signed
from merging.benchmarks import benchmarks
from merging.demo import PACK
from merging.fitness import fitness
from merging.indexes import parent_facts
from merging.path_genomes import LIKELY, path_space
from merging.recipes import Parent
from merging.search import Axes, Search, searches
from merging.spaces import Genome, is_on
from merging.workbench import Workbench

N_SWITCHES: Final = 20
N_LIKELY: Final = 6
SEEDS: Final = tuple(range(1, 11))
AXES: Final = Axes(
    (*(LIKELY,) * N_LIKELY, *(0.5,) * (2 * N_SWITCHES - N_LIKELY)),
    tuple(range(N_SWITCHES)),
    tuple((N_SWITCHES + i, i) for i in range(N_SWITCHES)),
)
BUDGETS: Final = (500, 1500)
"""Evaluations after which a search is looked at: synthetic functions at a third and at the end, the demo at half and at the end."""
DEMO_BUDGETS: Final = (80, 160)
POPULATION: Final = 20
POPULATIONS: Final[Mapping[str, int]] = {
    "right path, coarse, 8 a generation": 8,
    "right path, coarse, 40 a generation": 40,
}
N_QUESTIONS: Final = 40

Score = Callable[[Genome], float]


@dataclass(frozen=True)
class Truth:
    """Which switches should be on, and with which scale genes."""

    on: tuple[bool, ...]
    scales: tuple[float, ...]

    @staticmethod
    def of(seed: int) -> Truth:
        luck = random.Random(f"truth {seed}")
        chosen = {*luck.sample(range(N_SWITCHES), N_SWITCHES // 2)}
        return Truth(
            tuple(i in chosen for i in range(N_SWITCHES)), tuple(0.2 + 0.6 * luck.random() for _ in range(N_SWITCHES))
        )


def mixed_sphere(truth: Truth, genome: Genome) -> float:
    """Every switch and every scale counts by itself. Best: 1."""
    loss = 0.0
    for i, (wanted, scale) in enumerate(zip(truth.on, truth.scales, strict=True)):
        on = is_on(genome[i])
        loss += (on != wanted) + (4 * (genome[N_SWITCHES + i] - scale) ** 2 if on and wanted else 0)
    return 1 - loss / N_SWITCHES


def priced(truth: Truth, genome: Genome) -> float:
    """As a layer in the model: with a bad scale even the right one does more harm than good. Best: 1."""
    gain = 0.0
    for i, (wanted, scale) in enumerate(zip(truth.on, truth.scales, strict=True)):
        if is_on(genome[i]):
            gain += (1 if wanted else -0.5) - 12 * (genome[N_SWITCHES + i] - scale) ** 2
    return gain / (N_SWITCHES // 2)


def route(truth: Truth, genome: Genome) -> float:
    """The right path: a layer is worth 1 after the right one before it and 0.4 without, a wrong one costs 0.3. Best: 1."""
    gain, follows = 0.0, True
    for i, (wanted, scale) in enumerate(zip(truth.on, truth.scales, strict=True)):
        on = is_on(genome[i])
        if wanted:
            fit = math.exp(-(((genome[N_SWITCHES + i] - scale) / 0.15) ** 2))
            gain += on * fit * (1 if follows else 0.4)
            follows = on
        else:
            gain -= 0.3 * on
    return gain / (N_SWITCHES // 2)


def coarse(truth: Truth, genome: Genome) -> float:
    """The right path, told to a tenth as a short exam tells it. Best: 1."""
    return round(route(truth, genome), 1)


FUNCTIONS: Final[Mapping[str, Callable[[Truth, Genome], float]]] = {
    "mixed sphere": mixed_sphere,
    "priced": priced,
    "right path": route,
    "right path, coarse": coarse,
    **dict.fromkeys(POPULATIONS, coarse),
}
DEMO: Final = "demo"


def as_drawn(axes: Axes, seed: int, population_size: int) -> Search:
    """CatCMAwM that nobody has told what depends on what."""
    return searches.get("cat_cma").start(Axes(axes.starts, axes.switches), seed, population_size)


STARTS: Final[Mapping[str, Callable[[Axes, int, int], Search]]] = {
    "CMA-ES": searches.get("cma_es").start,
    "sep-CMA-ES": searches.get("sep_cma").start,
    "CatCMAwM": searches.get("cat_cma").start,
    "CatCMAwM, idle scales as drawn": as_drawn,
    "random": searches.get("random").start,
}
ON_DEMO: Final = ("CMA-ES", "CatCMAwM")


def main() -> None:
    """Run or print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=list(SEEDS))
    parser.add_argument("--functions", nargs="*", default=[*FUNCTIONS, DEMO], choices=[*FUNCTIONS, DEMO])
    given = parser.parse_args()
    if given.what == "run":
        torch.set_num_threads(1)
        run(given.folder, given.seeds, given.functions)
    else:
        print_table(lines(given.folder / "searches.jsonl"), given.functions)


def run(folder: Path, seeds: Iterable[int], functions: Sequence[str]) -> None:
    """Every search that is not in the folder yet."""
    folder.mkdir(parents=True, exist_ok=True)
    file, demo = folder / "searches.jsonl", Demo() if DEMO in functions else None
    for seed in seeds:
        for function in functions:
            for name in ON_DEMO if function == DEMO else STARTS:
                done = {(line["function"], line["search"], line["seed"]) for line in lines(file)}
                if (function, name, seed) in done:
                    continue
                started = time.perf_counter()
                if function == DEMO and demo is not None:
                    found = best_so_far(STARTS[name](demo.axes, seed, POPULATION), demo.score, DEMO_BUDGETS)
                else:
                    search = STARTS[name](AXES, seed, POPULATIONS.get(function, POPULATION))
                    found = best_so_far(search, partial(FUNCTIONS[function], Truth.of(seed)), BUDGETS)
                seconds = time.perf_counter() - started
                append(file, {"function": function, "search": name, "seed": seed, "best": found, "seconds": seconds})
                print(function, name, seed, found, f"{seconds:.0f} s", flush=True)


def best_so_far(search: Search, score: Score, budgets: Sequence[int]) -> list[float]:
    """The best score after each number of evaluations."""
    told: list[float] = []
    while len(told) < budgets[-1]:
        genomes = search.ask(len(told) // search.population_size)
        fitnesses = [score(genome) for genome in genomes]
        search.tell(genomes, fitnesses)
        told += fitnesses
    return [max(told[:budget]) for budget in budgets]


class Demo:
    """The demo pack's paths. A path that comes again costs nothing."""

    def __init__(self) -> None:
        parents = [Parent(n, str(PACK / n), parent_facts(PACK / n).fingerprint) for n in ("addition", "japanese")]
        n_layers = [parent_facts(parent.folder).n_layers for parent in parents]
        self._space = path_space(
            parents=parents,
            n_layers=n_layers,
            repeats=2,
            scales="slot",
            max_hops=12,
            dtype="bfloat16",
            seed=0,
            p_others=0.05,
        )
        self.axes = self._space.axes
        self._bench, self._benchmark = Workbench("cpu"), benchmarks.get("japanese-choices").load()
        self._known: dict[str, float] = {}

    def score(self, genome: Genome) -> float:
        recipe = self._space.decode(genome)
        if recipe.digest() not in self._known:
            evaluation = self._bench.evaluate(recipe, self._benchmark, "search", N_QUESTIONS)
            self._known[recipe.digest()] = fitness(evaluation)
        return self._known[recipe.digest()]


def print_table(reports: Sequence[Mapping[str, Any]], functions: Sequence[str]) -> None:
    """Means over the seeds that a search and CMA-ES have in common, with 95 % intervals by Student's law."""
    by = {(line["function"], line["search"], line["seed"]): line["best"] for line in reports}
    print("| function | search | seeds | best early | best at the end | minus CMA-ES, same seeds | p |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for function in functions:
        for name in STARTS:
            seeds = [s for f, n, s in sorted(by) if (f, n) == (function, name) and (function, "CMA-ES", s) in by]
            if seeds:
                third, end = np.array([by[function, name, seed] for seed in seeds]).T
                d = end - np.array([by[function, "CMA-ES", seed][-1] for seed in seeds])
                compared = "| |" if name == "CMA-ES" else f"{signed(d)} | {sign_flips(d):.3f} |"
                print(f"| {function} | {name} | {len(seeds)} | {plus_minus(third)} | {plus_minus(end)} | {compared}")


if __name__ == "__main__":
    main()
