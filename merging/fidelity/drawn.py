"""Estimates from samples that were drawn: a guess for every sample, corrected by weighted answers of those drawn.

The difference estimator of survey sampling: with weights of one over the chance of being drawn it is right on average,
whatever the guesses are; good guesses make it less noisy. Without guesses it is the Horvitz-Thompson estimator.
Särndal, Swensson, Wretman, "Model assisted survey sampling", 1992, section 6.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from merging import plain
from merging.errors import EvaluationError
from merging.fidelity.fidelity import COLUMNS, Answers, Estimate, Pool, Positions, guessed, integers, reals

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Drawn:
    """See `Judge`. `weights` stand in the order of `positions`; those of a part's samples estimate that part's mean.

    `guesses` has a row for each column and a number for each sample of the pool; none: the guesses are 0.
    """

    positions: Positions
    weights: tuple[float, ...]
    guesses: tuple[tuple[float, ...], ...] = ()
    KIND: ClassVar[str] = "drawn"

    def stops(self, answers: Answers, pool: Pool) -> bool:
        return False

    def estimate(self, answers: Answers, pool: Pool) -> tuple[Estimate, ...]:
        values, found = answers.over(pool.n), []
        for part in pool.ranges:
            drawn = [position for position in self.positions if position in part]
            weights = self._weights[drawn]
            means = corrected(values, self._guesses(pool), weights, drawn, part)
            centre = float(weights @ values[0, drawn] / weights.sum())
            n_effective = float(weights.sum() ** 2 / (weights @ weights))  # Kish 1965
            found.append(guessed(means, len(drawn), centre, n_effective))
        return tuple(found)

    def to_json(self) -> dict[str, object]:
        return {
            "positions": list(self.positions),
            "weights": list(self.weights),
            "guesses": [list(row) for row in self.guesses],
        }

    @staticmethod
    def from_json(value: Mapping[str, object]) -> Drawn:
        """The opposite of `to_json`."""
        found = plain.fields(value, ("kind", "positions", "weights", "guesses"), "the judge", EvaluationError)
        return Drawn(
            integers(found["positions"], "positions"),
            reals(found["weights"], "weights"),
            plain.items(found["guesses"], "guesses", EvaluationError, reals),
        )

    @cached_property
    def _weights(self) -> NDArray[np.float64]:
        weights = np.zeros(max(self.positions) + 1)
        weights[list(self.positions)] = self.weights
        return weights

    def _guesses(self, pool: Pool) -> NDArray[np.float64]:
        return np.array(self.guesses) if self.guesses else np.zeros((len(COLUMNS), pool.n))


def corrected(
    values: NDArray[np.float64],
    guesses: NDArray[np.float64],
    weights: NDArray[np.float64],
    drawn: list[int],
    part: range,
) -> NDArray[np.float64]:
    """[columns]: the mean guess over a part, plus the weighted sum of what the answers drawn are above their guesses."""
    means: NDArray[np.float64] = guesses[:, list(part)].mean(axis=1) + (values[:, drawn] - guesses[:, drawn]) @ weights
    return means


def allocate(n: int, pool: Pool) -> tuple[int, ...]:
    """n samples over the parts in proportion to their sizes; at least one each, at most all."""
    wanted = [n * part.n / pool.n for part in pool.parts]
    counts = [max(1, min(int(share), part.n)) for share, part in zip(wanted, pool.parts, strict=True)]
    while sum(counts) < min(n, pool.n):
        with_room = [i for i, part in enumerate(pool.parts) if counts[i] < part.n]
        counts[max(with_room, key=lambda i: wanted[i] - counts[i])] += 1
    while sum(counts) > max(n, len(counts)):
        counts[min((i for i in range(len(counts)) if counts[i] > 1), key=lambda i: wanted[i] - counts[i])] -= 1
    return tuple(counts)
