"""Laws that every registered fidelity keeps: made from rows alone, stored and read without loss, honest about what it guessed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merging.errors import EvaluationError
from merging.fidelity import DEFAULT, Fidelity, History, Part, Plan, Pool, fidelities, plan_from_json
from tests.merging.fidelity_histories import answers, asked, history, simulated

ALL = pytest.mark.parametrize("fidelity", list(fidelities), ids=fidelities.names())
POOL = Pool((Part(40, 1.0), Part(60, 2.0)))


def plan_of(fidelity: Fidelity, pool: Pool = POOL, n_generations: int = 3, gate: bool = True, seed: int = 0) -> Plan:
    found = history(fidelity.name, pool, n_generations, gate, seed)
    return fidelity.plan(pool, found, {}, seed, n_generations)


def stored(plan: Plan) -> Plan:
    """What a database gives back."""
    return plan_from_json(json.loads(json.dumps(plan.to_json(), allow_nan=False)))


@ALL
def test_a_fidelity_is_declared_in_full(fidelity: Fidelity) -> None:
    assert fidelities.get(fidelity.name) is fidelity
    assert fidelity.title and fidelity.summary.endswith(".")
    assert all(setting.help.endswith(".") for setting in fidelity.settings)
    assert fidelity.checked({}) == {setting.name: setting.default for setting in fidelity.settings}


@ALL
def test_the_same_rows_give_the_same_plan(fidelity: Fidelity) -> None:
    assert plan_of(fidelity) == plan_of(fidelity)


@ALL
def test_a_plan_survives_storage(fidelity: Fidelity) -> None:
    plan = plan_of(fidelity)
    model = asked(plan, simulated(0.5, POOL, np.random.default_rng(5), gate=True))
    assert stored(plan) == plan
    assert stored(plan).estimate(model) == plan.estimate(model)


@ALL
def test_generations_before_those_it_looks_back_on_change_nothing(fidelity: Fidelity) -> None:
    found = history("full", POOL, 3, gate=True)
    filler = tuple(closed[:2] for closed in found.generations * 12)[: fidelity.looks_back]
    long = fidelity.plan(POOL, History(found.parents, (*found.generations, *filler)), {}, 0, 40)
    assert fidelity.plan(POOL, History(found.parents, filler), {}, 0, 40) == long


@ALL
def test_a_generation_without_any_before_it_has_a_plan(fidelity: Fidelity) -> None:
    assert plan_of(fidelity, n_generations=0).n_asked > 0


@ALL
def test_parents_are_asked_for_when_they_are_needed(fidelity: Fidelity) -> None:
    without = replace(history("full", POOL, 3), parents=())
    if fidelity.needs_parents:
        with pytest.raises(EvaluationError, match="parents"):
            fidelity.plan(POOL, without, {}, 0, 3)
    else:
        assert fidelity.plan(POOL, without, {}, 0, 3).n_asked > 0


@ALL
@settings(deadline=None, max_examples=10)
@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=3),
    gate=st.booleans(),
    seed=st.integers(0, 2**31),
    n_generations=st.integers(0, 3),
)
def test_estimates_are_shares_within_their_bounds(
    fidelity: Fidelity, sizes: list[int], gate: bool, seed: int, n_generations: int
) -> None:
    pool = Pool(tuple(Part(n, 1.0 + i) for i, n in enumerate(sizes)))
    plan = plan_of(fidelity, pool, n_generations, gate, seed)
    model = asked(plan, simulated(0.0, pool, np.random.default_rng(seed), gate))
    for estimate, part in zip(plan.estimate(model), pool.parts, strict=True):
        assert 0 <= estimate.low <= estimate.mean <= estimate.high <= 1 and 0 <= estimate.right <= 1
        assert (estimate.in_language is not None) == gate and estimate.n <= part.n
        assert estimate.is_estimate == (len(model) < pool.n)


@ALL
def test_a_candidate_that_was_asked_everything_is_told_its_mean(fidelity: Fidelity) -> None:
    model = simulated(0.0, POOL, np.random.default_rng(1), gate=True)
    first, second = plan_of(fidelity).estimate(model)
    assert (first.mean, second.mean) == pytest.approx((np.mean(model.score[:40]), np.mean(model.score[40:])))
    assert not first.is_estimate and not second.is_estimate


@ALL
def test_better_answers_are_told_as_better(fidelity: Fidelity) -> None:
    plan = plan_of(fidelity)
    told = [plan.estimate(asked(plan, answers([s] * 100, [s] * 100, [1.0] * 100))) for s in (0.0, 1.0)]
    assert all(worse.mean < better.mean for worse, better in zip(*told, strict=True))


@ALL
def test_settings_are_checked_by_name_and_range(fidelity: Fidelity) -> None:
    with pytest.raises(EvaluationError, match="has no setting colour"):
        fidelity.plan(POOL, History(), {"colour": 1}, 0, 0)
    for setting in fidelity.settings:
        with pytest.raises(EvaluationError, match=f"{setting.name} is"):
            fidelity.plan(POOL, History(), {setting.name: setting.high + 1}, 0, 0)


def test_everything_is_asked_by_default() -> None:
    assert plan_of(fidelities.get(DEFAULT)).n_asked == POOL.n
