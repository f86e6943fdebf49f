"""Simulated runs for tests of fidelities: models with one ability, samples that are more or less hard."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from merging.fidelity import Answers, Estimate, History, Plan, Pool, Scored, ask_by, fidelities


def answers(
    scores: Sequence[float] | NDArray[np.float64],
    right: Sequence[float] | None = None,
    languages: Sequence[float] | None = None,
) -> Answers:
    """Of a model that was asked everything; without a language gate unless languages are given."""
    found = tuple(map(float, scores))
    gate = (None,) * len(found) if languages is None else tuple(map(float, languages))
    return Answers(tuple(range(len(found))), found, found if right is None else tuple(map(float, right)), gate)


def simulated(ability: float, pool: Pool, rng: np.random.Generator, gate: bool = False, seed: int = 0) -> Answers:
    """A model's answers to everything. The samples' difficulty depends on `seed` only."""
    difficulty = np.random.default_rng(seed).normal(0, 1, pool.n)
    right = (rng.random(pool.n) < 1 / (1 + np.exp(difficulty - ability))).astype(float)
    if not gate:
        return answers(right)
    language = (rng.random(pool.n) < 0.8).astype(float)
    return answers(right * language, right.tolist(), language.tolist())


def asked(plan: Plan, model: Answers) -> Answers:
    """What is asked of a model by a plan."""
    return ask_by(plan, model.at)


def fitness(estimates: tuple[Estimate, ...], pool: Pool) -> float:
    return sum(share * estimate.fitness for share, estimate in zip(pool.shares, estimates, strict=True))


def history(
    name: str,
    pool: Pool,
    n_generations: int,
    gate: bool = False,
    seed: int = 0,
    size: int = 8,
    settings: dict[str, object] | None = None,
) -> History:
    """A run that goes by this fidelity, its candidates a little better from generation to generation."""
    rng = np.random.default_rng(seed)
    parents = tuple(simulated(ability, pool, rng, gate) for ability in (-1.0, 0.0))
    found = History(parents)
    for generation in range(n_generations):
        plan, scored = fidelities.get(name).plan(pool, found, settings or {}, seed, generation), []
        for _ in range(size):
            told = asked(plan, simulated(rng.normal(generation / 4, 1), pool, rng, gate))
            scored.append(Scored(told, fitness(plan.estimate(told), pool)))
        found = History(parents, (*found.generations, tuple(scored)))
    return found
