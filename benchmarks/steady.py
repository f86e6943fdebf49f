"""Whole generations against steady state: what a search finds with the same budget, and how long workers take for it, over ten seeds.

    .venv/bin/python -m benchmarks.steady

Nothing is merged: candidates are scored by functions of their genes, and the clock is reckoned. How long a candidate takes is drawn from
its number, log-normal: one in twenty takes more than 2.3 times the median. A worker that is free takes the first candidate that waits;
what is proposed never depends on the clock. Times are in candidates: 1 is the median's.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.seeds import plus_minus, sign_flips, signed
from merging.search import Axes, searches
from merging.spaces import Genome
from merging.steady import n_asked

N_GENES: Final = 12
SEEDS: Final = tuple(range(1, 11))
BUDGETS: Final = (120, 480)
WORKERS: Final = (1, 2, 8)
SPREAD: Final = 0.5

Score = Callable[[Genome], float]


@dataclass(frozen=True)
class Played:
    """A search: the best score so far after every evaluation in the order of proposal, and by number of workers how long it took."""

    best: tuple[float, ...]
    seconds: Mapping[int, float]


def functions(seed: int) -> dict[str, Score]:
    """Of a hidden point in [0.1, 0.9]: 1 at it."""
    draws = np.random.default_rng(seed)
    hidden = draws.uniform(0.1, 0.9, N_GENES)
    turned, _ = np.linalg.qr(draws.normal(size=(N_GENES, N_GENES)))
    stretch = 10 ** np.linspace(-1, 1, N_GENES)

    def sphere(genome: Genome) -> float:
        return float(np.exp(-np.square(np.array(genome) - hidden).sum()))

    def ridge(genome: Genome) -> float:
        return float(np.exp(-(stretch * np.square(turned @ (np.array(genome) - hidden))).sum() / stretch.mean()))

    def coarse(genome: Genome) -> float:
        return round(sphere(genome) * 20) / 20

    return {"sphere": sphere, "ridge": ridge, "sphere, told in twentieths": coarse}


def play(score: Score, search: str, seed: int, budget: int, share_ahead: float) -> Played:
    """One search, and the schedules that its candidates have."""
    running = searches.get(search).start(Axes((0.5,) * N_GENES), seed)
    size = running.population_size
    n_ahead = int(share_ahead * size)
    units: list[list[int]] = []  # of each generation, who has to be scored before the next one
    generations: list[list[int]] = []
    genomes: list[Genome] = []
    scores: list[float] = []
    while len(genomes) < budget:
        if units:
            running.tell([genomes[i] for i in units[-1]], [scores[i] for i in units[-1]])
        asked = running.ask(len(units), n_asked(size, n_ahead, len(units)))[: budget - len(genomes)]
        numbers = list(range(len(genomes), len(genomes) + len(asked)))
        genomes += asked
        scores += [score(genome) for genome in asked]
        behind = generations[-1][-n_ahead:] if generations and n_ahead else []
        generations.append(numbers)
        units.append([*behind, *numbers[: len(numbers) - n_ahead]])
    luck = random.Random(f"time {seed}")
    times = [luck.lognormvariate(0.0, SPREAD) for _ in genomes]
    found = {n: schedule(generations, units, times, n) for n in WORKERS}
    return Played(tuple(np.maximum.accumulate(scores)), found)


def schedule(
    generations: Sequence[Sequence[int]], units: Sequence[Sequence[int]], times: Sequence[float], n_workers: int
) -> float:
    """When the last candidate is scored."""
    free = [0.0] * n_workers
    ended: dict[int, float] = {}
    for number, members in enumerate(generations):
        opened = max((ended[i] for i in units[number - 1]), default=0.0) if number else 0.0
        for member in members:
            begin = max(opened, heapq.heappop(free))
            ended[member] = begin + times[member]
            heapq.heappush(free, ended[member])
    return max(ended.values())


def main() -> None:
    """Print both tables."""
    names = list(functions(0))
    shares = (0.0, 0.25, 0.5, 0.9)
    print(f"{N_GENES} genes, budgets {BUDGETS}, seeds {SEEDS[0]} to {SEEDS[-1]}\n")
    print(
        "| function | search | ahead | "
        + " | ".join(f"best of {budget}" for budget in BUDGETS)
        + " | minus whole generations | p |"
    )
    print("|---|---|---:|" + "---:|" * len(BUDGETS) + "---:|---:|")
    speeds: dict[float, list[Mapping[int, float]]] = {share: [] for share in shares}
    for name in names:
        for search in ("cma_es", "sep_cma"):
            whole: list[NDArray[np.float64]] = []
            for share in shares:
                played = [play(functions(seed)[name], search, seed, BUDGETS[-1], share) for seed in SEEDS]

                found = [np.array([one.best[budget - 1] for one in played]) for budget in BUDGETS]
                whole = whole or found
                differences = found[0] - whole[0]
                against = f"{signed(differences)} | {sign_flips(differences):.3f}" if share else " | "
                print(
                    f"| {name} | {search} | {share:.0%} | {' | '.join(plus_minus(each) for each in found)} | {against} |",
                    flush=True,
                )
                speeds[share] += [one.seconds for one in played]
    print("\n| ahead | " + " | ".join(f"{n} workers: candidates in the time of one" for n in WORKERS) + " |")
    print("|---:|" + "---:|" * len(WORKERS))
    for share, found_seconds in speeds.items():
        pace = [np.mean([BUDGETS[-1] / one[n] for one in found_seconds]) for n in WORKERS]
        alone = np.mean([BUDGETS[-1] / one[1] for one in found_seconds])
        print(
            f"| {share:.0%} | {' | '.join(f'{each:.2f} ({each / alone / n:.0%} of {n})' for each, n in zip(pace, WORKERS, strict=True))} |"
        )


if __name__ == "__main__":
    main()
