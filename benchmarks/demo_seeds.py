"""The demo over several seeds: does the winner beat its parents and the plain averages on the final split?

    ./progeny up                                                (in another terminal; optional: without it each run starts the services)
    .venv/bin/python -m benchmarks.demo_seeds quick 1 2 3 4 5 > docs/demo-quick.md

Every run goes through the product's own command: ledger, worker, engine. With `standard`, each winner is also held against the best merge
that has one weight per parent, chosen from a grid on the same search questions: a paired test on the final questions.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from merging.benchmarks import Split, benchmarks
from merging.demo import PACK
from merging.evaluation import Evaluation
from merging.genomes import parameter_space
from merging.indexes import parent_facts
from merging.recipes import Parent, Recipe
from merging.statistics import paired_test
from merging.workbench import Workbench

ROOT = Path(__file__).resolve().parent.parent
BENCHMARK = "japanese-sums"
GRID = tuple(0.25 * step for step in range(2, 9))  # 7 x 7 = 49 pairs of weights from 0.5 to 2
N_SEARCH = 150


def main(preset: str, seeds: list[int]) -> None:
    """Run the preset once a seed and print Markdown tables."""
    reports = [_evolve(preset, seed) for seed in seeds]
    print(f"# The {preset} demo over {len(seeds)} seeds\n")
    print(f"Made by `.venv/bin/python -m benchmarks.demo_seeds {preset} {' '.join(map(str, seeds))}`.")
    print(
        "Scores are shares of right answers in Japanese, with 95 % intervals; the final questions were never seen by search or training.\n"
    )
    _print_scores(seeds, reports)
    if preset == "standard":
        _print_grid(seeds, reports)


def _evolve(preset: str, seed: int) -> dict[str, Any]:
    command = [str(ROOT / "progeny"), "evolve", "--preset", preset, "--seed", str(seed), "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _print_scores(seeds: list[int], reports: list[dict[str, Any]]) -> None:
    print(
        "| seed | winner, search | winner, final | best parent, final | uniform average, final | first dot | whole run |"
    )
    print("|---|---|---|---|---|---|---|")
    for seed, report in zip(seeds, reports, strict=True):
        parent = max(report["parents"], key=lambda scored: scored["final"]["mean"])
        uniform = next(scored for scored in report["baselines"] if "average" in scored["name"])
        scores = [report["winner"]["search"], report["winner"]["final"], parent["final"], uniform["final"]]
        seconds = f"{report['first_candidate_seconds']:.1f} s | {report['seconds']:.0f} s"
        print(f"| {seed} | {' | '.join(map(_cell, scores))} | {seconds} |")


def _cell(score: dict[str, Any]) -> str:
    return f"{score['mean']:.3f} [{score['low']:.3f}, {score['high']:.3f}], n = {score['n']}"


@dataclass(frozen=True)
class Weights:
    """One weight per parent for the whole model, and what it scored on the search questions."""

    values: tuple[float, ...]
    recipe: Recipe
    mean: float


def _print_grid(seeds: list[int], reports: list[dict[str, Any]]) -> None:
    bench, n_final = Workbench(), reports[0]["winner"]["final"]["n"]
    best = _best_of_grid(bench)
    reference = _score(bench, best.recipe, "final", n_final)
    print(f"\n## Against the best of {len(GRID) ** 2} merges with one weight per parent\n")
    print(f"Best on {N_SEARCH} search questions: weights {best.values}, {best.mean:.3f} there.")
    print(
        f"On the final questions: {reference.mean:.3f} [{reference.low:.3f}, {reference.high:.3f}], n = {reference.n}.\n"
    )
    print("| seed | winner, final | grid, final | only the winner right | only the grid right | p (exact McNemar) |")
    print("|---|---|---|---|---|---|")
    for seed, report in zip(seeds, reports, strict=True):
        winner = _score(bench, Recipe.from_json(report["winner_recipe"]), "final", n_final)
        paired = paired_test([o.score > 0 for o in winner.outcomes], [o.score > 0 for o in reference.outcomes])
        cells = [
            f"{winner.mean:.3f}",
            f"{reference.mean:.3f}",
            paired.only_first,
            paired.only_second,
            f"{paired.p:.2g}",
        ]
        print(f"| {seed} | {' | '.join(map(str, cells))} |")
    bench.close()


def _best_of_grid(bench: Workbench) -> Weights:
    found = [_weigh(bench, values) for values in product(GRID, repeat=2)]
    return max(found, key=lambda weights: weights.mean)


def _weigh(bench: Workbench, values: tuple[float, ...]) -> Weights:
    recipe = _uniform_recipe(values)
    return Weights(values, recipe, _score(bench, recipe, "search", N_SEARCH).mean)


def _uniform_recipe(values: tuple[float, ...]) -> Recipe:
    base, *parents = (_parent(name) for name in ("base", "japanese", "addition"))
    space = parameter_space(
        method="task_arithmetic", parents=tuple(parents), base=base, n_layers=parent_facts(base.folder).n_layers,
        groups="model", settings=(), seed=0, dtype="bfloat16",
    )  # fmt: skip
    return space.decode(
        tuple((value - gene.low) / (gene.high - gene.low) for value, gene in zip(values, space.genes, strict=True))
    )


def _parent(name: str) -> Parent:
    folder = str(PACK / name)
    return Parent(name=f"demo/{name}", folder=folder, fingerprint=parent_facts(folder).fingerprint)


def _score(bench: Workbench, recipe: Recipe, split: Split, n: int) -> Evaluation:
    return bench.evaluate(recipe, benchmarks.get(BENCHMARK).load(), split, n)


if __name__ == "__main__":
    main(sys.argv[1], [int(seed) for seed in sys.argv[2:]])
