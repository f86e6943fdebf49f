"""Cheaper fitness over several seeds: completions asked, and what the winner scores on questions that no search saw.

    .venv/bin/python -m benchmarks.fidelity_seeds run FOLDER [--seeds 1 2 3] [--fidelities full racing]
    .venv/bin/python -m benchmarks.fidelity_seeds table FOLDER > docs/fidelity-table.md

One search for each fidelity and seed: the quick demo, 120 candidates, 100 search questions each; at the end the finalists answer all search
questions, and the best of them is the winner. FOLDER keeps every answer and every finished search, a line each: a recipe that comes again
costs nothing, `run` goes on where it was stopped, and several may share a folder if their seeds or fidelities differ. `table` also
replays every fidelity over the candidates of the full searches, at no cost: how near estimates come to the truth, and how they rank.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.seeds import append, lines, plus_minus, sign_flips, signed
from merging import plain
from merging.benchmarks import Split, benchmarks
from merging.demo import PACK
from merging.evolution import told_fitnesses
from merging.fidelity import (
    Answers,
    Estimate,
    History,
    Part,
    Plan,
    Pool,
    Positions,
    Scored,
    ask_by,
    fidelities,
    finalists,
)
from merging.genomes import GenomeSpace, parameter_space
from merging.indexes import parent_facts
from merging.recipes import Parent, Recipe
from merging.search import searches
from merging.workbench import Workbench

BENCHMARK: Final = "japanese-sums"
EXPERTS: Final = ("japanese", "addition")
BUDGET: Final = 120
N_SEARCH: Final = 100
N_FINALISTS: Final = 8
SEEDS: Final = tuple(range(1, 11))
VARIANTS: Final[Mapping[str, tuple[str, Mapping[str, object]]]] = {
    "full": ("full", {}),
    "racing": ("racing", {}),
    "racing, best tenth": ("racing", {"share": 0.1, "risk": 0.3}),
    "halving": ("halving", {}),
    "subset": ("subset", {}),
    "subset of 33": ("subset", {"samples": 33}),
    "entropy": ("entropy", {}),
    "weighted": ("weighted", {}),
    "mp_irt": ("mp_irt", {}),
    "gmp_irt": ("gmp_irt", {}),
}
"""Every fidelity as it is by default, and settings worth a line of their own. `batch` would ask all 100 questions here."""
POOL: Final = Pool((Part(N_SEARCH),))


class Questions:
    """Answers by recipe and split, from the folder or from the model. Counts nothing: what was asked is the plan's to say."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "answers.jsonl"
        self._known: dict[tuple[str, str], dict[int, tuple[float, float, float | None]]] = defaultdict(dict)
        self._bench, self._benchmark = Workbench("cpu"), benchmarks.get(BENCHMARK).load()
        self._n_lines = 0

    def refresh(self) -> None:
        """Reads what this process and others have added to the folder since the last time."""
        found = lines(self._file)
        for line in found[self._n_lines :]:
            self._keep(line["recipe"], line["split"], Answers.from_json(line["answers"]))
        self._n_lines = len(found)

    def ask(self, recipe: Recipe, split: Split, positions: Positions) -> Answers:
        """The answers at these positions of a split, in their order; the model is merged only when one is not known yet."""
        known = self._known[key(recipe), split]
        if unknown := tuple(position for position in positions if position not in known):
            found = self._answers(recipe, split, unknown)
            self._keep(key(recipe), split, found)
            append(self._file, {"recipe": key(recipe), "split": split, "answers": found.to_json()})
        score, right, language = zip(*(known[position] for position in positions), strict=True)
        return Answers(positions, score, right, language)

    def all_of(self, split: Split) -> Positions:
        return tuple(range(N_SEARCH if split == "search" else len(self._benchmark.samples[split])))

    def _answers(self, recipe: Recipe, split: Split, positions: Positions) -> Answers:
        samples = [self._benchmark.samples[split][position] for position in positions]
        outcomes = self._benchmark.ask(self._bench.model(recipe), samples)
        return Answers(
            positions,
            tuple(outcome.score for outcome in outcomes),
            tuple(float(outcome.right) for outcome in outcomes),
            tuple(float(o.language == s.language) for o, s in zip(outcomes, samples, strict=True)),
        )

    def _keep(self, recipe: str, split: str, answers: Answers) -> None:
        rows = zip(answers.score, answers.right, answers.in_language, strict=True)
        self._known[recipe, split].update(zip(answers.positions, rows, strict=True))


@dataclass
class Search:
    """One search with one fidelity: its candidates in order, as rows of a run would hold them."""

    history: History
    plans: list[Plan] = field(default_factory=list)
    recipes: list[Recipe] = field(default_factory=list)
    estimates: list[Estimate] = field(default_factory=list)
    n_asked: int = 0


def main() -> None:
    """Run or print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=list(SEEDS))
    parser.add_argument("--fidelities", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    given = parser.parse_args()
    if given.what == "run":
        run(given.folder, given.seeds, given.fidelities)
    else:
        print_searches(lines(given.folder / "searches.jsonl"))
        print_replays(given.folder)


def run(folder: Path, seeds: Iterable[int], names: Sequence[str]) -> None:
    """Every search that is not in the folder yet, all fidelities of a seed before the next seed."""
    questions, space = Questions(folder), quick_space()
    for seed in seeds:
        for name in names:
            done = {(line["fidelity"], line["seed"]) for line in lines(folder / "searches.jsonl")}
            if (name, seed) not in done:
                started = time.perf_counter()
                questions.refresh()
                report = finish(search(questions, space, name, seed), questions)
                print(
                    name, seed, report["n_asked"], report["final"], f"{time.perf_counter() - started:.0f} s", flush=True
                )
                append(folder / "searches.jsonl", {"fidelity": name, "seed": seed} | report)


def search(questions: Questions, space: GenomeSpace, name: str, seed: int) -> Search:
    """The loop of a run: plan a generation, ask by the plan, tell the estimates."""
    fidelity, settings = VARIANTS[name]
    running = searches.get("cma_es").start(space.axes, seed)
    found = Search(History(parents=tuple(parents_answers(questions))))
    while (n_left := BUDGET - len(found.recipes)) > 0:
        generation = len(found.plans)
        plan = fidelities.get(fidelity).plan(POOL, found.history, settings, seed, generation)
        genomes, scored = running.ask(generation)[:n_left], []
        for genome in genomes:
            recipe = space.decode(genome)
            if (
                len(plan.blocks) > 1
            ):  # one batch of all costs less time than several small ones; what counts is what the plan asks
                questions.ask(recipe, "search", questions.all_of("search"))
            answers = ask_by(plan, lambda block, recipe=recipe: questions.ask(recipe, "search", block))  # type: ignore[misc]
            (estimate,) = plan.estimate(answers)
            scored.append(Scored(answers, estimate.fitness))
            found.recipes.append(recipe)
            found.estimates.append(estimate)
            found.n_asked += len(answers)
        found.plans.append(plan)
        found.history = History(found.history.parents, (*found.history.generations, tuple(scored)))
        if len(genomes) == running.population_size:
            running.tell(genomes, told_fitnesses([candidate.fitness for candidate in scored]))
    return found


def finish(found: Search, questions: Questions) -> dict[str, Any]:
    """Finalists in full, and the winner's final score, as a line of the folder."""
    candidates = [scored for generation in found.history.generations for scored in generation]
    chosen = finalists([scored.fitness for scored in candidates], N_FINALISTS)
    exact, n_more = {}, 0
    for i in chosen:
        (exact[i],) = IN_FULL.estimate(questions.ask(found.recipes[i], "search", questions.all_of("search")))
        n_more += N_SEARCH - len(candidates[i].answers)
    winner = max(chosen, key=lambda i: exact[i].fitness)
    final = questions.ask(found.recipes[winner], "final", questions.all_of("final"))
    return {
        "n_asked": found.n_asked + n_more,
        "n_finalists": n_more,
        "search": exact[winner].mean,
        "final": float(np.mean(final.score)),
        "final_scores": "".join(str(int(score)) for score in final.score),
        "told": [candidate.fitness for candidate in candidates],
        "finalists": [[i, candidates[i].fitness, exact[i].fitness] for i in chosen],
        "recipes": [key(recipe) for recipe in found.recipes],
        "generations": [len(generation) for generation in found.history.generations],
    }


IN_FULL: Final = fidelities.get("full").plan(POOL, History(), {}, 0, 0)


def print_searches(reports: list[dict[str, Any]]) -> None:
    """What each fidelity cost and found, over the seeds that it and `full` have in common."""
    by = {(report["fidelity"], report["seed"]): report for report in reports}
    print("| fidelity | seeds | completions | fewer | winner, final | minus all samples, same seeds | p | worst seed |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name in VARIANTS:
        seeds = [seed for (fidelity, seed) in sorted(by) if fidelity == name and ("full", seed) in by]
        if not seeds:
            continue
        mine, full = ([by[which, seed] for seed in seeds] for which in (name, "full"))
        n, n_full = (np.mean([report["n_asked"] for report in found]) for found in (mine, full))
        scores, others = (np.array([report["final"] for report in found]) for found in (mine, full))
        d = scores - others
        compared = "| |" if name == "full" else f"{signed(d)} | {sign_flips(d):.2f} |"
        print(
            f"| {name} | {len(seeds)} | {n:,.0f} | {n_full / n:.1f}x | {plus_minus(scores)} | {compared} {scores.min():.3f} |"
        )


@dataclass
class Replay:
    """A fidelity's estimates of candidates whose truth is known. Errors are of those that were not asked in full."""

    n_asked: int = 0
    n_all: int = 0
    errors: list[float] = field(default_factory=list)
    n_held: int = 0
    taus: list[float] = field(default_factory=list)
    halves: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)


def print_replays(folder: Path) -> None:
    """Every fidelity over the candidates of the full searches, generation by generation."""
    full = [report for report in lines(folder / "searches.jsonl") if report["fidelity"] == "full"]
    whole = range(N_SEARCH)
    known = {
        line["recipe"]: Answers.from_json(line["answers"])
        for line in lines(folder / "answers.jsonl")
        if line["split"] == "search" and sorted(line["answers"]["positions"]) == list(whole)
    }
    print(f"\n{len(full)} full searches, replayed:\n")
    print("| fidelity | fewer | bias | RMSE | intervals that hold | Kendall's tau | better half found | best lost |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name in VARIANTS:
        found = Replay()
        for report in full:
            replay(name, report, known, found)
        errors = np.array(found.errors or [0.0])
        held = found.n_held / max(1, len(found.errors))
        cells = f"{errors.mean():+.3f} | {np.sqrt((errors**2).mean()):.3f} | {held:.1%}" if found.errors else "| |"
        ranks = f"{np.mean(found.taus):.2f} | {np.mean(found.halves):.0%} | {np.mean(found.losses):.3f}"
        print(f"| {name} | {found.n_all / found.n_asked:.1f}x | {cells} | {ranks} |")


def replay(name: str, report: dict[str, Any], known: Mapping[str, Answers], found: Replay) -> None:
    """One full search as a fidelity would have seen it. Generations that it asks in full tell nothing about ranks."""
    parents = tuple(known[key(quick_space().decode(only(expert)))] for expert in EXPERTS)
    fidelity, settings = VARIANTS[name]
    history, recipes = History(parents), iter(report["recipes"])
    all_told: list[float] = []
    all_true: list[float] = []
    for generation, size in enumerate(report["generations"]):
        plan = fidelities.get(fidelity).plan(POOL, history, settings, report["seed"], generation)
        scored, truths = [], []
        for recipe in islice(recipes, size):
            answers = ask_by(plan, known[recipe].at)
            (estimate,), (truth,) = plan.estimate(answers), IN_FULL.estimate(known[recipe])
            scored.append(Scored(answers, estimate.fitness))
            truths.append(truth.fitness)
            if estimate.is_estimate:
                found.errors.append(estimate.mean - truth.mean)
                found.n_held += estimate.low <= truth.mean <= estimate.high
        found.n_asked += sum(len(candidate.answers) for candidate in scored)
        found.n_all += N_SEARCH * size
        if name == "full" or any(len(candidate.answers) < N_SEARCH for candidate in scored):
            told = np.array([candidate.fitness for candidate in scored])
            found.taus.append(tau(told, np.array(truths)))
            found.halves.append(len(better_half(told) & better_half(np.array(truths))) / (size // 2))
        all_told += [candidate.fitness for candidate in scored]
        all_true += truths
        history = History(parents, (*history.generations, tuple(scored)))
    found.losses.append(max(all_true) - max(all_true[i] for i in finalists(all_told, N_FINALISTS)))


def tau(told: NDArray[np.float64], truths: NDArray[np.float64]) -> float:
    """Kendall's tau-b; 0 when all are equal."""
    found = float(stats.kendalltau(told, truths).statistic) if len({*told}) > 1 and len({*truths}) > 1 else 0.0
    return found


def better_half(fitnesses: NDArray[np.float64]) -> set[int]:
    return set(np.argsort(-fitnesses, kind="stable")[: len(fitnesses) // 2].tolist())


def parents_answers(questions: Questions) -> Iterable[Answers]:
    """What the experts answer: a merge with the whole of one task vector and nothing of the other is that parent."""
    for expert in EXPERTS:
        yield questions.ask(quick_space().decode(only(expert)), "search", questions.all_of("search"))


def only(expert: str) -> tuple[float, ...]:
    """The genome with weight 1 for this expert in every layer and weight 0 for the other."""
    return tuple(gene.gene(float(gene.parent == expert)) for gene in quick_space().genes)


def key(recipe: Recipe) -> str:
    """Names a recipe of the quick space by what the search chose, wherever the models lie."""
    return plain.digest([dict(values) for group in recipe.values for values in group])


def quick_space() -> GenomeSpace:
    """The genes of the quick demo."""
    base = parent_facts(PACK / "base")
    return parameter_space(
        method="task_arithmetic",
        parents=tuple(_parent(name) for name in EXPERTS),
        base=_parent("base"),
        n_layers=base.n_layers,
        groups="block",
        settings=(),
        seed=0,
        dtype="bfloat16",
        tied_embeddings=base.tied_embeddings,
    )


def _parent(name: str) -> Parent:
    return Parent(name, str(PACK / name), parent_facts(PACK / name).fingerprint)


if __name__ == "__main__":
    main()
