"""Which genes matter: found where they do, not found where nothing does, and refused where it cannot be told."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from merging.errors import EvaluationError
from merging.importance import PER_GENE, _falls, _ranks, importances, n_needed

N, N_GENES = 300, 8


def genomes(n: int = N, n_genes: int = N_GENES) -> np.ndarray:
    return np.random.default_rng(3).random((n, n_genes))


def noise(n: int = N) -> np.ndarray:
    return np.random.default_rng(4).normal(size=n)


def test_the_genes_that_decide_have_the_most_and_no_other_is_clear() -> None:
    x = genomes()
    found = importances(x, list(2 * x[:, 2] - 6 * (x[:, 5] - 0.5) ** 2 + 0.1 * noise()))
    order = sorted(range(N_GENES), key=lambda gene: -found.genes[gene].value)
    assert set(order[:2]) == {2, 5}
    assert [gene for gene in range(N_GENES) if found.genes[gene].is_clear] == [2, 5]
    assert found.r2 > 0.8 and found.n == N


def test_of_noise_nothing_is_told() -> None:
    """A fit that is judged on what it has not seen does not flatter itself; seeded, so it passes always or never."""
    assert importances(genomes(), list(noise())).r2 < 0.05


def test_a_switch_matters_as_on_or_off_alone() -> None:
    x = genomes()
    scores = list((x[:, 1] > 0.5) + 0.01 * noise())
    assert importances(x, scores, switches=range(N_GENES)).r2 > importances(x, scores).r2
    assert importances(x, scores, switches=[1]).genes[1].is_clear


def test_only_the_order_of_scores_counts() -> None:
    x = genomes()
    assert importances(x, list(x[:, 0])) == importances(x, list(np.exp(9 * x[:, 0])))


def test_equal_scores_share_their_rank() -> None:
    assert list(_ranks(np.array([5.0, 1.0, 5.0, 9.0]))) == pytest.approx([0.5, 0.0, 0.5, 1.0])


def test_the_fall_is_what_shuffling_adds_averaged_over_all_shuffles() -> None:
    luck = np.random.default_rng(0)
    parts, error = luck.normal(size=(5, 2)), luck.normal(size=5)
    for gene in (0, 1):
        part = parts[:, gene]
        shuffled = [np.mean((error + part - part[list(order)]) ** 2) for order in permutations(range(5))]
        assert _falls(parts, error)[gene] == pytest.approx(np.mean(shuffled) - np.mean(error**2))


@pytest.mark.parametrize(("n_genes", "n"), [(3, 39), (60, PER_GENE * 60 - 1)])
def test_too_few_candidates_are_refused(n_genes: int, n: int) -> None:
    with pytest.raises(EvaluationError, match=f"{n} candidates were scored; {n_genes} genes need at least {n + 1}"):
        importances(genomes(n, n_genes), list(noise(n)))
    assert importances(genomes(n + 1, n_genes), list(noise(n + 1))).n == n_needed(n_genes)


def test_equal_scores_are_refused() -> None:
    with pytest.raises(EvaluationError, match="all 300 candidates scored the same"):
        importances(genomes(), [0.5] * N)


def test_a_gene_that_never_moves_matters_not_at_all() -> None:
    x = genomes()
    x[:, 3] = 0.5
    assert importances(x, list(x[:, 0])).genes[3].value == 0
