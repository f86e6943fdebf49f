"""Candidates stop as soon as they can no longer reach the better half of the last closed generation, or another share of it.

All candidates of a generation answer the same samples in the same random order and are compared with one reference that
has answered them all, pair by pair. The comparison is with closed generations only, so it depends on no order of
completion and waits for nobody.

The bound is a bet against "this candidate is as fit as the reference": wealth that grows only by luck while that is true,
so by Ville's inequality the chance that it ever reaches 1/risk is at most `risk`, wherever asking stops; samples are drawn
without replacement from a finite pool, which the bet knows. Waudby-Smith and Ramdas, https://arxiv.org/abs/2010.09686.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from merging import plain
from merging.errors import EvaluationError
from merging.fidelity.drawn import corrected
from merging.fidelity.fidelity import (
    Answers,
    Estimate,
    Fidelity,
    History,
    Plan,
    Pool,
    Positions,
    Scored,
    Setting,
    Settings,
    guessed,
)
from merging.fidelity.full import in_full
from merging.fitness import SHAPING

if TYPE_CHECKING:
    from numpy.typing import NDArray

BETS: Final = tuple(share / 10 for share in range(1, 10))
"""Shares of the largest safe stake; wealth is the mean over all of them, so none has to be tuned."""
LOOKS_BACK: Final = 5


@dataclass(frozen=True)
class Race:
    """See `Judge`. `reference` is the candidate to reach, asked in full.

    Told of a candidate that stopped is the reference's score plus the mean difference on the samples that both answered.
    """

    reference: Answers
    risk: float
    n_blocks: int
    KIND: ClassVar[str] = "race"

    def stops(self, answers: Answers, pool: Pool) -> bool:
        d, largest = gains(answers, self.reference, pool)
        return wealth(d, largest, pool.n) >= 1 / self.risk

    def estimate(self, answers: Answers, pool: Pool) -> tuple[Estimate, ...]:
        return against(self.reference, answers, pool, self.n_blocks)

    def to_json(self) -> dict[str, object]:
        return {"reference": self.reference.to_json(), "risk": self.risk, "n_blocks": self.n_blocks}

    @staticmethod
    def from_json(value: Mapping[str, object]) -> Race:
        """The opposite of `to_json`."""
        found = plain.fields(value, ("kind", "reference", "risk", "n_blocks"), "the judge", EvaluationError)
        return Race(
            Answers.from_json(found["reference"]),
            plain.real(found["risk"], "risk", EvaluationError),
            plain.integer(found["n_blocks"], "n_blocks", EvaluationError),
        )


def make(pool: Pool, history: History, settings: Settings, rng: np.random.Generator, generation: int) -> Plan:
    reference = reference_of(history, pool, settings["share"])
    if reference is None:
        return in_full(pool, FIDELITY.name)
    order, size = rng.permutation(pool.n).tolist(), int(settings["block"])
    blocks = cut(order, range(size, pool.n, size))
    return Plan(FIDELITY.name, pool, blocks, Race(reference, settings["risk"], len(blocks)))


def cut(order: list[int], ends: Iterable[int]) -> tuple[Positions, ...]:
    """An order in blocks that end after so many samples; the last block holds the rest."""
    bounds = [0, *ends, len(order)]
    return tuple(tuple(order[a:b]) for a, b in pairwise(bounds))


def reference_of(history: History, pool: Pool, share: float) -> Answers | None:
    """The candidate that a new one has to reach, None when none was asked in full.

    The bar is the fitness of the last of the best `share` of the last closed generation. The reference is the fittest
    that is not above the bar, of all in the history that were asked in full; the least fit above it when there is none.
    """
    in_full = [s for closed in history.generations for s in closed if len(s.answers) == pool.n]
    latest = next((closed for closed in reversed(history.generations) if closed), ())
    if not in_full:
        return None
    bar = sorted((s.fitness for s in latest), reverse=True)[max(1, math.ceil(len(latest) * share)) - 1]
    return _nearest(in_full, bar).answers


def gains(answers: Answers, reference: Answers, pool: Pool) -> tuple[NDArray[np.float64], float]:
    """[asked]: for each sample how much fitter than the reference it makes the candidate, and the most it could be.

    The mean over the whole pool is at least the difference of fitness. Of the shaping term only the column in which the
    reference is weaker counts: the minimum of two means is at most either of them.
    """
    values, others = answers.over(pool.n), reference.over(pool.n)
    d, largest = np.zeros(pool.n), 0.0
    for part, share in zip(pool.ranges, pool.shares, strict=True):
        at = list(part)
        found = values[0, at] - others[0, at]
        top = 1.0
        if not np.isnan(others[2, at]).any():
            weaker = 1 if others[1, at].mean() <= others[2, at].mean() else 2
            found = found + SHAPING * (values[weaker, at] - others[weaker, at])
            top += SHAPING
        scale = share * pool.n / len(part)
        d[at], largest = found * scale, max(largest, top * scale)
    return d[list(answers.positions)], largest


def wealth(gains: NDArray[np.float64], largest: float, n: int) -> float:
    """What betting against a mean gain of 0 or more has won, from a stake of 1, after these gains of n in all.

    Gains come in random order and lie within `largest` of 0. Infinite when a mean of 0 is out of reach.
    """
    so_far = np.concatenate([[0.0], np.cumsum(gains)])
    fair = -so_far[:-1] / (n - np.arange(len(gains)))  # [gains]: what the rest must gain on average to end at 0
    if (fair > largest).any() or so_far[-1] + (n - len(gains)) * largest < 0:
        return math.inf
    # Outside these bounds nothing is uncertain, and no bet is safe or needed.
    stakes = np.array(BETS)[:, None] / np.where(np.abs(fair) < largest, largest - fair, math.inf)
    capital = np.cumprod(1 - stakes * (gains - fair), axis=1).mean(axis=0)
    return float(max(1.0, capital.max(initial=1.0)))


def against(reference: Answers, answers: Answers, pool: Pool, looks: int) -> tuple[Estimate, ...]:
    """For each part the reference's means plus the mean differences on what was asked."""
    values, others, found = answers.over(pool.n), reference.over(pool.n), []
    for part in pool.ranges:
        drawn = [position for position in answers.positions if position in part]
        n = len(drawn)
        means = corrected(values, others, np.full(n, 1 / n), drawn, part)
        found.append(guessed(means, n, float(values[0, drawn].mean()), n, looks))
    return tuple(found)


def _nearest(candidates: list[Scored], bar: float) -> Scored:
    below = [scored for scored in candidates if scored.fitness <= bar]
    if below:
        return max(reversed(below), key=lambda scored: scored.fitness)  # the latest among equals
    return min(reversed(candidates), key=lambda scored: scored.fitness)


JUDGES = (Race,)
FIDELITY = Fidelity(
    name="racing",
    title="Racing",
    summary="A candidate stops when its answers so far show that it cannot reach the better half of the generation before. "
    "The first generation answers everything.",
    source="Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, 2020, https://arxiv.org/abs/2010.09686",
    settings=(
        Setting(
            "block",
            1,
            1000,
            10,
            "Samples between two looks. Fewer: stops earlier, but asks in smaller batches.",
            is_whole=True,
        ),
        Setting(
            "share",
            0.05,
            0.5,
            0.5,
            "Share of the last generation, from its best down, that a candidate has to be able to reach. Less: cheaper, but the order "
            "of those in the middle is estimated too.",
        ),
        Setting(
            "risk",
            0.001,
            0.5,
            0.1,
            "Chance that a candidate is stopped though it is as good as the one it has to reach.",
        ),
    ),
    looks_back=LOOKS_BACK,
    needs_parents=False,
    make=make,
)
