"""Item response theory: known abilities and samples are found again from simulated answers."""

from __future__ import annotations

import numpy as np
import pytest

from merging.fidelity import History, Part, Pool, Scored, fidelities
from merging.fidelity.irt import Items, fit, mixture
from merging.fidelity.weighted import anchors
from tests.merging.fidelity_histories import answers, asked, history, simulated

POOL = Pool((Part(100),))


def drawn(items: Items, abilities: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (rng.random((len(abilities), len(items.difficulty))) < items.chances(abilities)).astype(float)


def test_abilities_and_difficulties_are_recovered() -> None:
    """60 models, 150 samples: what a logistic model with known numbers drew is found again up to noise and scale."""
    rng = np.random.default_rng(0)
    items = Items(rng.uniform(0.8, 1.4, (150, 1)), rng.normal(0, 1, 150))
    abilities = rng.normal(0, 1, (60, 1))
    found, theirs = fit(drawn(items, abilities, rng)[:, None], 1)
    assert np.corrcoef(theirs[:, 0], abilities[:, 0])[0, 1] > 0.95
    assert np.corrcoef(found.difficulty, items.difficulty)[0, 1] > 0.9
    assert np.abs(found.chances(theirs).mean(axis=1) - items.chances(abilities).mean(axis=1)).max() < 0.12


def test_what_was_not_asked_is_predicted() -> None:
    """Half of the answers are hidden; predicted means of the hidden half err by less than 9 points: 7 are their own noise."""
    rng = np.random.default_rng(1)
    items = Items(np.ones((150, 1)), rng.normal(0, 1, 150))
    abilities = rng.normal(0, 1, (60, 1))
    y, hidden = drawn(items, abilities, rng), rng.random((60, 150)) < 0.5
    found, theirs = fit(np.where(hidden, np.nan, y)[:, None], 1)
    errors = [np.mean((found.chances(theirs) - y)[i][hidden[i]]) for i in range(60)]
    assert np.sqrt(np.mean(np.square(errors))) < 0.09


def test_a_mixture_of_two_parents_is_found() -> None:
    rng = np.random.default_rng(2)
    items = Items(rng.uniform(0, 1.5, (200, 2)), rng.normal(0, 1, 200))
    parents = np.array([[2.0, -1.0], [-1.0, 2.0]])
    truth = 0.9 * parents[0] + 0.8 * parents[1]
    found = [mixture(items, parents, drawn(items, truth[None], rng)[0]) for _ in range(20)]
    assert np.mean(found, axis=0) == pytest.approx(truth, abs=0.25)


def test_all_right_and_all_wrong_stay_finite() -> None:
    y = np.repeat([[1.0], [0.0], [0.5]], 30, axis=1)
    items, abilities = fit(y[:, None], 2)
    assert np.isfinite(abilities).all() and np.isfinite(items.demands).all() and np.isfinite(items.difficulty).all()
    assert items.chances(abilities)[0].mean() > 0.8 > 0.2 > items.chances(abilities)[1].mean()


@pytest.mark.parametrize("name", ["mp_irt", "gmp_irt"])
def test_estimates_are_nearer_to_the_truth_than_the_plain_mean(name: str) -> None:
    """Over 40 candidates with 20 of 100 samples each, samples of very unequal difficulty."""
    earlier, rng = history("full", POOL, 6), np.random.default_rng(11)
    theirs, plain = [], []
    plans = [fidelities.get(name).plan(POOL, earlier, {"samples": 20}, seed, 6) for seed in range(4)]
    for plan in plans * 10:
        model = simulated(rng.normal(1.0, 0.7), POOL, rng)
        told = asked(plan, model)
        (estimate,) = plan.estimate(told)
        theirs.append(estimate.mean - np.mean(model.score))
        plain.append(np.mean(told.score) - np.mean(model.score))
    assert np.std(theirs) < np.std(plain) and abs(np.mean(theirs)) < 0.05


def test_a_parent_with_the_language_and_one_with_the_answer_describe_a_candidate_with_both() -> None:
    speaks, knows = answers([0.0] * 100, [0.0] * 100, [1.0] * 100), answers([0.0] * 100, [1.0] * 100, [0.0] * 100)
    rng = np.random.default_rng(0)
    closed = tuple(Scored(simulated(ability, POOL, rng, gate=True), 0.0) for ability in np.linspace(-2, 2, 12))
    plan = fidelities.get("mp_irt").plan(POOL, History((speaks, knows), (closed,)), {}, 0, 1)
    (estimate,) = plan.estimate(asked(plan, answers([1.0] * 100, [1.0] * 100, [1.0] * 100)))
    assert estimate.mean > 0.8


def test_anchors_stand_for_the_samples_around_them() -> None:
    points = np.repeat([[0.0, 0.0], [5.0, 0.0], [0.0, 9.0]], [5, 3, 2], axis=0)
    rows, sizes = anchors(points, 3, np.random.default_rng(0))
    assert dict(zip(rows, sizes, strict=True)) == {0: 5, 5: 3, 8: 2}
    assert anchors(points, 8, np.random.default_rng(0)) == (rows, sizes)
