"""Item response theory: how likely each model is to get each sample right, from its abilities and the sample's own numbers.

The two-parameter logistic model in several dimensions: P(right) = 1 / (1 + exp(-(a . ability - b))), where `a` says how
much a sample asks of each ability and `b` how hard it is (Reckase 2009). Fitted by penalised maximum likelihood: models' abilities and
samples' numbers in turns, by Newton's method. A score between 0 and 1 counts as that share of a right answer.

Deterministic for the same rows on the same machine; its result is stored with a plan, never computed twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_ROUNDS: Final = 30
ENOUGH: Final = 1e-3
"""A change of abilities or coefficients that ends the fitting: far below what samples can tell."""
SPREAD_OF_DEMANDS: Final = 0.3
SPREAD_OF_DIFFICULTY: Final = 1.0
"""Standard deviations of a column's items around their common mean; those of abilities are 1."""
SPREAD_OF_SHARES: Final = 3.0
"""Standard deviation of a parent's share in a mixture; parents may be nearly alike, and then shares are large."""
N_HALVINGS: Final = 8


@dataclass(frozen=True)
class Items:
    """Samples' numbers: `demands` [items, abilities] and `difficulty` [items]."""

    demands: NDArray[np.float64]
    difficulty: NDArray[np.float64]

    def chances(self, ability: NDArray[np.float64]) -> NDArray[np.float64]:
        """[..., items] for abilities [..., abilities]."""
        return logistic(ability @ self.demands.T - self.difficulty)


def fit(answers: NDArray[np.float64], n_abilities: int) -> tuple[Items, NDArray[np.float64]]:
    """Items, and models' abilities [models, abilities], from answers [models, columns, samples], NaN where nothing was asked.

    Items are the columns one after the other. Those of a column are drawn to their common mean, not to "asks nothing":
    few models say little about one item, and a sample that nobody got right so far is hard, not hopeless.
    """
    y = answers.reshape(len(answers), -1)
    asked = ~np.isnan(y)
    y = np.where(asked, y, 0.0)
    columns = np.split(np.arange(y.shape[1]), answers.shape[1])
    abilities = _start(y, asked, n_abilities)
    usual = logit((y.sum(axis=0) + 0.5) / (asked.sum(axis=0) + 1))
    lines = np.column_stack([np.zeros((y.shape[1], n_abilities)), usual])  # demands, then minus the difficulty
    spread = np.array([SPREAD_OF_DEMANDS] * n_abilities + [SPREAD_OF_DIFFICULTY])
    for _ in range(N_ROUNDS):
        towards = np.concatenate(
            [np.broadcast_to(lines[column].mean(axis=0), lines[column].shape) for column in columns]
        )
        with_one = np.column_stack([abilities, np.ones(len(abilities))])
        lines = _newton(y.T, asked.T, with_one, np.zeros(y.T.shape), lines, towards, spread)
        level = np.broadcast_to(lines[:, -1], y.shape)
        before = abilities
        abilities = _newton(y, asked, lines[:, :-1], level, abilities, np.zeros_like(abilities), np.ones(n_abilities))
        if np.abs(abilities - before).max() < ENOUGH:
            break
    return Items(lines[:, :-1], -lines[:, -1]), abilities


def mixture(items: Items, basis: NDArray[np.float64], answers: NDArray[np.float64]) -> NDArray[np.float64]:
    """The ability [abilities] of a model as a linear combination of others', `basis` [models, abilities].

    Its coefficients are the likeliest for the answers [items], NaN where nothing was asked, under a normal law around
    equal shares: a few answers cannot drive them to infinity.
    """
    asked, n = ~np.isnan(answers)[None], len(basis)
    y, shares = np.where(asked, answers, 0.0), np.full((1, n), 1 / n)
    level = -items.difficulty[None]
    found = shares
    for _ in range(N_ROUNDS):
        before = found
        found = _newton(y, asked, items.demands @ basis.T, level, found, shares, np.full(n, SPREAD_OF_SHARES))
        if np.abs(found - before).max() < ENOUGH:
            break
    combined: NDArray[np.float64] = found[0] @ basis
    return combined


def logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(x, -30, 30)))
    return found


def logit(p: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.log(p / (1 - p))
    return found


def _newton(
    y: NDArray[np.float64],
    asked: NDArray[np.bool_],
    inputs: NDArray[np.float64],
    level: NDArray[np.float64],
    x: NDArray[np.float64],
    towards: NDArray[np.float64],
    spread: NDArray[np.float64],
) -> NDArray[np.float64]:
    """One step of many penalised logistic regressions: y [rows, cases] on inputs [cases, k] from x [rows, k].

    `level` [rows, cases] is added to what the inputs say; each coefficient has a normal law around `towards`. A row's step
    is halved until it makes things better: far from the maximum a whole one can miss it by more than before.
    """

    def merit(x: NDArray[np.float64]) -> NDArray[np.float64]:
        z = x @ inputs.T + level
        likelihood = np.where(asked, y * z - np.logaddexp(0, z), 0.0).sum(axis=1)
        found: NDArray[np.float64] = likelihood - (((x - towards) / spread) ** 2).sum(axis=1) / 2
        return found

    p = logistic(x @ inputs.T + level)
    k = inputs.shape[1]
    slope = np.where(asked, y - p, 0.0) @ inputs - (x - towards) / spread**2  # [rows, k]
    products = (inputs[:, :, None] * inputs[:, None, :]).reshape(len(inputs), k * k)
    bend = (np.where(asked, p * (1 - p), 0.0) @ products).reshape(-1, k, k) + np.diag(1 / spread**2)
    step = np.linalg.solve(bend, slope[:, :, None])[:, :, 0]
    before = merit(x)
    for _ in range(N_HALVINGS):
        worse = merit(x + step) < before
        if not worse.any():
            break
        step = np.where(worse[:, None], step / 2, step)
    return np.where((merit(x + step) < before)[:, None], x, x + step)


def _start(y: NDArray[np.float64], asked: NDArray[np.bool_], n_abilities: int) -> NDArray[np.float64]:
    """Abilities to start from: the main directions in which models differ, better models to the right of each."""
    means = y.sum(axis=0) / np.maximum(asked.sum(axis=0), 1)
    left, sizes, _ = np.linalg.svd(np.where(asked, y - means, 0.0), full_matrices=False)
    n = min(n_abilities, len(sizes))
    found = np.zeros((len(y), n_abilities))
    found[:, :n] = left[:, :n] * np.sqrt(len(y))
    totals = np.where(asked, y - means, 0.0).sum(axis=1)
    signs = np.where(totals @ found < 0, -1.0, 1.0)
    return found * signs
