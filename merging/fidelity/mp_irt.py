"""A random subset, and for the samples left out what item response theory expects of a mixture of the parents.

A merge's ability is taken for a linear combination of its parents' abilities, and the combination is fitted to what it
answered. Samples' numbers come from the parents and the candidates of earlier generations. Score, right answer and right
language of a sample are three items, so that a parent that only has the language and one that only has the answer can
add up to a candidate that has both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from merging import plain
from merging.errors import EvaluationError
from merging.fidelity.fidelity import (
    COLUMNS,
    Answers,
    Estimate,
    Fidelity,
    History,
    Plan,
    Pool,
    Settings,
    guessed,
    reals,
)
from merging.fidelity.full import in_full
from merging.fidelity.irt import Items, fit, mixture
from merging.fidelity.subset import SAMPLES, uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_MODELS: Final = 10
"""Parents and candidates; fewer cannot tell a hard sample from bad luck: everything is asked."""
N_ABILITIES: Final = 2
LOOKS_BACK: Final = 30


@dataclass(frozen=True)
class Responses:
    """See `Judge`. Items are the columns one after the other, each over the whole pool; `parents` holds abilities.

    `trust` is the share of the plain mean in the estimate: 0 for mp-IRT.
    """

    demands: tuple[tuple[float, ...], ...]
    difficulty: tuple[float, ...]
    parents: tuple[tuple[float, ...], ...]
    trust: float
    KIND: ClassVar[str] = "responses"

    def stops(self, answers: Answers, pool: Pool) -> bool:
        return False

    def estimate(self, answers: Answers, pool: Pool) -> tuple[Estimate, ...]:
        values, found = answers.over(pool.n), []
        items = Items(np.array(self.demands), np.array(self.difficulty))
        chances = items.chances(mixture(items, np.array(self.parents), values.ravel())).reshape(values.shape)
        for part in pool.ranges:
            drawn = [position for position in answers.positions if position in part]
            left = sorted(set(part) - set(drawn))
            plain_means = values[:, drawn].mean(axis=1)
            share = len(drawn) / len(part)
            likely = share * plain_means + (1 - share) * (chances[:, left].mean(axis=1) if left else plain_means)
            means = self.trust * plain_means + (1 - self.trust) * likely
            found.append(guessed(means, len(drawn), float(plain_means[0]), len(drawn)))
        return tuple(found)

    def to_json(self) -> dict[str, object]:
        return {
            "demands": [list(row) for row in self.demands],
            "difficulty": list(self.difficulty),
            "parents": [list(row) for row in self.parents],
            "trust": self.trust,
        }

    @staticmethod
    def from_json(value: Mapping[str, object]) -> Responses:
        """The opposite of `to_json`."""
        names = ("kind", "demands", "difficulty", "parents", "trust")
        found = plain.fields(value, names, "the judge", EvaluationError)
        return Responses(
            plain.items(found["demands"], "demands", EvaluationError, reals),
            reals(found["difficulty"], "difficulty"),
            plain.items(found["parents"], "parents", EvaluationError, reals),
            plain.real(found["trust"], "trust", EvaluationError),
        )


def make(pool: Pool, history: History, settings: Settings, rng: np.random.Generator, generation: int) -> Plan:
    return planned(FIDELITY.name, pool, history, int(settings["samples"]), 0.0, rng)


def planned(name: str, pool: Pool, history: History, n: int, trust: float, rng: np.random.Generator) -> Plan:
    """The plan of mp-IRT, or of gmp-IRT with some `trust` in the plain mean. EvaluationError without parents."""
    if not history.parents:
        raise EvaluationError(f"{name} has no answers of parents; it describes candidates by them: score them first")
    values = seen(history, pool)
    if len(values) < N_MODELS or n >= pool.n:
        return in_full(pool, name)
    items, abilities = fit(values, N_ABILITIES)
    judge = Responses(
        tuple(map(tuple, items.demands.tolist())),
        tuple(items.difficulty.tolist()),
        tuple(map(tuple, abilities[: len(history.parents)].tolist())),
        trust,
    )
    asked = tuple(position for positions in uniform(pool, n, rng) for position in positions)
    return Plan(name, pool, (asked,), judge)


def seen(history: History, pool: Pool) -> NDArray[np.float64]:
    """[models, columns, n]: parents first, then the candidates of closed generations; NaN where nothing was asked."""
    answers = [*history.parents, *(scored.answers for closed in history.generations for scored in closed)]
    return np.array([found.over(pool.n) for found in answers]).reshape(-1, len(COLUMNS), pool.n)


JUDGES = (Responses,)
FIDELITY = Fidelity(
    name="mp_irt",
    title="mp-IRT",
    summary="A random subset; the rest is predicted by item response theory, with each candidate as a mixture of its parents. "
    "The first candidates answer everything.",
    source="Mencattini et al., MERGE3, 2025, https://arxiv.org/abs/2502.10436",
    settings=(SAMPLES,),
    looks_back=LOOKS_BACK,
    needs_parents=True,
    make=make,
)
