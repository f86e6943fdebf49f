"""What paths gain on the demo pack: data-flow space beside parameter space, parents and stacks that nobody tuned.

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.data_flow run FOLDER [--seeds 1 2 3] [--benchmarks japanese-sums]
    .venv/bin/python -m benchmarks.data_flow table FOLDER

Every search scores 160 candidates on 100 search questions, 50 where choices are asked. The best of each generation is scored on twice as
many validation questions, and the best there is the winner, which answers 400 final questions. FOLDER keeps each finished search as a
line and winners in parameter space as models; `run` goes on where it was stopped, and several may share a folder if their seeds or
benchmarks differ. One process uses one core.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from benchmarks.seeds import append, lines, plus_minus, sign_flips, signed
from merging.benchmarks import Split, benchmarks
from merging.demo import PACK
from merging.evaluation import Evaluation
from merging.evolution import Candidate, best, evolve
from merging.genomes import parameter_space
from merging.hops import Hop, LayerPath
from merging.indexes import parent_facts
from merging.path_genomes import path_space
from merging.paths import path_recipe
from merging.recipes import Parent, Recipe, passthrough_recipe
from merging.spaces import Space
from merging.statistics import wilson
from merging.workbench import Workbench

BUDGET: Final = 160
POPULATION: Final = 16
N: Final[Mapping[str, Mapping[Split, int]]] = {
    "japanese-sums": {"search": 100, "validation": 200, "final": 400},
    "japanese-choices": {"search": 50, "validation": 100, "final": 400},
}
NEAR: Final = 0.05
SEEDS: Final = (1, 2, 3, 4, 5)
MAX_HOPS: Final = 12
REPEATS: Final = 2
EXPERTS: Final = ("japanese", "addition")


@dataclass(frozen=True)
class Kind:
    """A search. `parents` are A and B, where "ps" is the winner in parameter space; `scales` None is parameter space itself.

    `p_others` is how likely layers outside A's own path are on at the start.
    """

    name: str
    parents: tuple[str, str]
    scales: str | None = None
    p_others: float = NEAR


KINDS: Final = (
    Kind("PS", EXPERTS),
    Kind("DFS", ("addition", "japanese"), "slot"),
    Kind("DFS, W = 1", ("addition", "japanese"), "one"),
    Kind("DFS, the paper's start", ("addition", "japanese"), "slot", 0.5),
    Kind("PS + DFS", ("ps", "japanese"), "slot"),
    Kind("PS + DFS, W = 1", ("ps", "japanese"), "one"),
    Kind("PS + DFS, the paper's start", ("ps", "japanese"), "slot", 0.5),
)


class Judge:
    """Scores recipes on one benchmark; one that comes again costs nothing."""

    def __init__(self, benchmark: str) -> None:
        self._bench, self._benchmark = Workbench("cpu"), benchmarks.get(benchmark).load()
        self._n = N[benchmark]
        self._known: dict[tuple[str, Split], Evaluation] = {}

    def score(self, recipe: Recipe, split: Split) -> Evaluation:
        key = (recipe.digest(), split)
        if key not in self._known:
            self._known[key] = self._bench.evaluate(recipe, self._benchmark, split, self._n[split])
        return self._known[key]

    def build(self, recipe: Recipe, folder: Path) -> None:
        self._bench.build(recipe, folder)


def main() -> None:
    """Run or print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=list(SEEDS))
    parser.add_argument("--benchmarks", nargs="*", default=list(N), choices=list(N))
    parser.add_argument("--budget", type=int, default=BUDGET, help="candidates of each search")
    given = parser.parse_args()
    if given.what == "run":
        torch.set_num_threads(1)
        for benchmark in given.benchmarks:
            run(given.folder, benchmark, given.seeds, given.budget)
    else:
        for benchmark in given.benchmarks:
            print_table(
                benchmark, [line for line in lines(given.folder / "scores.jsonl") if line["benchmark"] == benchmark]
            )


def run(folder: Path, benchmark: str, seeds: Sequence[int], budget: int) -> None:
    """Everything that is not in the folder yet, all kinds of a seed before the next seed."""
    folder.mkdir(parents=True, exist_ok=True)
    judge, file = Judge(benchmark), folder / "scores.jsonl"
    for name, recipe in untuned():
        if (name, 0) not in done(file, benchmark):
            append(file, {"benchmark": benchmark, "kind": name, "seed": 0} | report(judge, recipe))
    for seed in seeds:
        for kind in KINDS:
            if (kind.name, seed) in done(file, benchmark):
                continue
            line = searched(judge, kind, seed, budget, folder / f"{benchmark}-{seed}")
            append(file, {"benchmark": benchmark, "kind": kind.name, "seed": seed} | line)
            print(benchmark, kind.name, seed, line["final"], line["sentence"], f"{line['seconds']:.0f} s", flush=True)


def done(file: Path, benchmark: str) -> set[tuple[str, int]]:
    return {(line["kind"], line["seed"]) for line in lines(file) if line["benchmark"] == benchmark}


def searched(judge: Judge, kind: Kind, seed: int, budget: int, ps: Path) -> dict[str, Any]:
    """One search from its start to the final score; a winner in parameter space is built into the folder `ps`."""
    started = time.perf_counter()
    search, population = ("cma_es", None) if kind.scales is None else ("cat_cma", POPULATION)
    candidates = list(
        evolve(space(kind, ps), search, lambda recipe: judge.score(recipe, "search"), budget, seed, population)
    )
    chosen = max(
        snapshots(candidates), key=lambda one: judge.score(one.recipe, "validation").mean
    )  # the earliest of equals
    if kind.scales is None and not ps.exists():
        judge.build(chosen.recipe, ps)
    return report(judge, chosen.recipe) | {
        "search": judge.score(chosen.recipe, "search").mean,
        "validation": judge.score(chosen.recipe, "validation").mean,
        "n_candidates": len(candidates),
        "n_distinct": len({candidate.recipe.digest() for candidate in candidates}),
        "n_zero": sum(candidate.evaluation is not None and candidate.evaluation.mean == 0 for candidate in candidates),
        "seconds": time.perf_counter() - started,
    }


def snapshots(candidates: Sequence[Candidate]) -> Iterator[Candidate]:
    """The best of each generation."""
    for _, generation in groupby(candidates, key=lambda candidate: candidate.generation):
        yield best(generation)


def report(judge: Judge, recipe: Recipe) -> dict[str, Any]:
    """The final score, of which every answer is kept: two models are compared on the same questions."""
    final, path = judge.score(recipe, "final"), recipe.path
    return {
        "final": final.mean,
        "final_scores": "".join(str(int(outcome.score)) for outcome in final.outcomes),
        "n_hops": None if path is None else path.n_hops,
        "sentence": recipe.sentence(),
        "recipe": recipe.to_json(),
    }


def space(kind: Kind, ps: Path) -> Space:
    """What the kind searches. Parameter space is that of the quick demo."""
    parents = tuple(parent(ps if name == "ps" else PACK / name) for name in kind.parents)
    n_layers = [parent_facts(one.folder).n_layers for one in parents]
    if kind.scales is not None:
        return path_space(
            parents=parents,
            n_layers=n_layers,
            repeats=REPEATS,
            scales=kind.scales,
            max_hops=MAX_HOPS,
            dtype="bfloat16",
            seed=0,
            p_others=kind.p_others,
        )
    return parameter_space(
        method="task_arithmetic",
        parents=parents,
        base=parent(PACK / "base"),
        n_layers=n_layers[0],
        groups="block",
        settings=(),
        seed=0,
        dtype="bfloat16",
        tied_embeddings=True,
    )


def untuned() -> Iterator[tuple[str, Recipe]]:
    """Parents as they are, and stacks of their layers as people make them by hand; the first parent has the ends."""
    for name in EXPERTS:
        yield name, passthrough_recipe(parent(PACK / name), "bfloat16")
    for first, second in (EXPERTS, EXPERTS[::-1]):
        parents = (parent(PACK / first), parent(PACK / second))
        n = parent_facts(PACK / first).n_layers
        whole = [*((0, layer) for layer in range(n)), *((1, layer) for layer in range(n))]
        overlapping = [*((0, layer) for layer in range(n - 1)), *((1, layer) for layer in range(1, n))]
        for words, layers in (("then", whole), ("into", overlapping)):
            path = LayerPath(tuple(Hop(*layer) for layer in layers))
            yield f"stack, {first} {words} {second}", path_recipe(parents, path, "bfloat16")


def parent(folder: Path) -> Parent:
    return Parent(folder.name, str(folder), parent_facts(folder).fingerprint)


def print_table(benchmark: str, reports: Sequence[Mapping[str, Any]]) -> None:
    """Final scores: without a search with their interval over questions, of searches their mean and its interval over seeds."""
    if not reports:
        return
    by = {(line["kind"], line["seed"]): line for line in reports}
    print(f"\n### {benchmark}\n")
    print("| | seeds | final | worst, best seed | minus PS, same seeds | p | hops | candidates at 0 | minutes |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for (kind, seed), line in by.items():
        if seed == 0:
            n_right = line["final_scores"].count("1")
            interval = wilson(n_right, len(line["final_scores"]))
            hops = line["n_hops"] or ""
            print(f"| {kind} | | {line['final']:.3f} [{interval.low:.3f}, {interval.high:.3f}] | | | | {hops} | | |")
    for kind in [kind.name for kind in KINDS]:
        mine = [by[kind, seed] for (name, seed) in sorted(by) if name == kind and ("PS", seed) in by]
        if mine:
            print(row(kind, mine, [by["PS", line["seed"]] for line in mine]))
    print("\nWinners of the first seed:\n")
    for line in reports:
        if line["seed"] == min(seed for _, seed in by if seed):
            print(f"- {line['kind']}: {line['sentence']}")


def row(kind: str, mine: Sequence[Mapping[str, Any]], ps: Sequence[Mapping[str, Any]]) -> str:
    """One line of searches over their seeds."""
    scores, others = (np.array([line["final"] for line in found]) for found in (mine, ps))
    d = scores - others
    compared = "| |" if kind == "PS" else f"{signed(d)} | {sign_flips(d):.2f} |"
    hops = "" if mine[0]["n_hops"] is None else "{}-{}".format(*np.sort([line["n_hops"] for line in mine])[[0, -1]])
    zero = sum(line["n_zero"] for line in mine) / sum(line["n_candidates"] for line in mine)
    minutes = np.mean([line["seconds"] for line in mine]) / 60
    return (
        f"| {kind} | {len(mine)} | {plus_minus(scores)} | {scores.min():.3f}, {scores.max():.3f} | {compared} {hops} | {zero:.0%} | "
        f"{minutes:.1f} |"
    )


if __name__ == "__main__":
    main()
