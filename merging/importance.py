"""How much each gene has to do with the scores of the candidates that were tried.

Scores, as ranks, are fitted by a sum of one curve for each gene: a ridge regression on the gene and its square, or on a switch. A gene's
importance is by how much R² falls, on candidates that the fit has not seen, when that gene is shuffled among them. It costs some matrices
of [genes, genes], where a forest costs seconds, and says itself how far it can be believed: by its cross-validated R².

What it cannot see: genes that matter only together; and of genes that a search has moved together, which of them it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from merging.errors import EvaluationError

N_FOLDS: Final = 5
LEAST: Final = 40
PER_GENE: Final = 2
"""Candidates that it takes for each gene, and in any case `LEAST`."""
PENALTIES: Final = np.logspace(-2, 4, 13)
T_95: Final = 2.776
"""Student's t for a two-sided 95 % with one degree of freedom less than folds."""
SEED: Final = 0
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Importance:
    """By how much R² falls without what one gene says: the mean over the folds with its 95 % interval. Below 0 is luck."""

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """It can be told from no importance at all."""
        return self.low > 0


@dataclass(frozen=True)
class Importances:
    """Of each gene, in their order. `r2` is of candidates that the fit has not seen: 1 for a perfect guess, 0 for the mean alone."""

    genes: tuple[Importance, ...]
    r2: float
    n: int


def n_needed(n_genes: int) -> int:
    """How many candidates it takes to say anything."""
    return max(LEAST, PER_GENE * n_genes)


def importances(genomes: Numbers, scores: Sequence[float], switches: Sequence[int] = ()) -> Importances:
    """Of the genes of `genomes`, [candidates, genes], by what these candidates scored; `switches` are genes that matter only as on or off.

    EvaluationError for fewer candidates than `n_needed`, and when all of them scored the same.
    """
    n, n_genes = genomes.shape
    if n < n_needed(n_genes):
        raise EvaluationError(f"{n} candidates were scored; {n_genes} genes need at least {n_needed(n_genes)}")
    y = _ranks(np.asarray(scores, dtype=np.float64))
    if not np.ptp(y):
        raise EvaluationError(f"all {n} candidates scored the same")
    columns, owners = _columns(genomes, switches)
    folds = np.array_split(np.random.default_rng(SEED).permutation(n), N_FOLDS)
    falls, missed, spread = [], 0.0, float(np.mean((y - y.mean()) ** 2))
    for fold in folds:
        rest = np.setdiff1d(np.arange(n), fold)
        parts = _parts(columns[rest], y[rest], columns[fold], owners, n_genes)  # [candidates of the fold, genes]
        error = y[fold] - y[rest].mean() - parts.sum(axis=1)
        missed += float(error @ error)
        falls.append(_falls(parts, error) / spread)
    means, errors = np.mean(falls, axis=0), np.std(falls, axis=0, ddof=1) / np.sqrt(N_FOLDS)
    found = (Importance(float(m), float(m - T_95 * e), float(m + T_95 * e)) for m, e in zip(means, errors, strict=True))
    return Importances(tuple(found), 1 - missed / (n * spread), n)


def _falls(parts: Numbers, error: Numbers) -> Numbers:
    """The mean squared error that shuffling adds, gene by gene, averaged over all shuffles: 2 (Var f + Cov(e, f)) for a part f of a sum."""
    centred = parts - parts.mean(axis=0)
    return np.asarray(2 * (np.mean(centred**2, axis=0) + np.mean((error - error.mean())[:, None] * centred, axis=0)))


def _parts(x: Numbers, y: Numbers, unseen: Numbers, owners: Sequence[int], n_genes: int) -> Numbers:
    """What each gene adds to the guess for what is `unseen`, by ridge regression on `x`; generalised cross-validation has its penalty.

    Golub, Heath and Wahba, "Generalized cross-validation as a method for choosing a good ridge parameter", Technometrics 21 (1979).
    """
    centre, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale == 0] = 1.0
    z, target = (x - centre) / scale, y - y.mean()
    squares, axes = np.linalg.eigh(z.T @ z)  # [columns], [columns, columns]
    squares = np.maximum(squares, 0.0)
    along = axes.T @ (z.T @ target)

    def risk(penalty: float) -> float:
        kept = 1 / (squares + penalty)
        missed = target @ target - 2 * np.sum(kept * along**2) + np.sum(squares * (kept * along) ** 2)
        return float(missed / (len(y) - 1 - np.sum(squares * kept)) ** 2)

    penalty = min(PENALTIES, key=risk)
    weights = axes @ (along / (squares + penalty))
    added = (unseen - centre) / scale * weights  # [unseen, columns]
    parts = np.zeros((len(unseen), n_genes))
    for column, owner in enumerate(owners):
        parts[:, owner] += added[:, column]
    return parts


def _columns(genomes: Numbers, switches: Sequence[int]) -> tuple[Numbers, list[int]]:
    """What the fit sees, and whose gene each column is of."""
    on = frozenset(switches)
    numbers = [gene for gene in range(genomes.shape[1]) if gene not in on]
    order = sorted(on)
    columns = np.hstack([genomes[:, numbers], (genomes[:, numbers] - 0.5) ** 2, genomes[:, order] > 0.5])
    return columns, [*numbers, *numbers, *order]


def _ranks(values: Numbers) -> Numbers:
    """From 0 to 1, equal values sharing theirs: a merge that answers nothing is the worst, not worlds away."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray(((last - counts + last - 1) / 2)[places] / max(1, len(values) - 1))
