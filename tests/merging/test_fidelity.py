"""Fidelities that draw samples or stop early: right on average, and rarely wrong about who is out."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merging.errors import EvaluationError
from merging.fidelity import Answers, History, Part, Plan, Pool, Scored, ask_by, fidelities, finalists, plan_from_json
from merging.fidelity.drawn import allocate
from merging.fidelity.entropy import draw, inclusion_chances
from merging.fidelity.racing import gains, reference_of, wealth
from tests.merging.fidelity_histories import answers, asked, fitness, history, simulated

POOL = Pool((Part(100),))


def raced(reference: Answers, name: str = "racing", seed: int = 0, pool: Pool = POOL, **given: float) -> Plan:
    """The plan of a generation after one whose only candidate is the reference."""
    closed = (Scored(reference, true_fitness(reference, pool)),)
    return fidelities.get(name).plan(pool, History((), (closed,)), given, seed, 1)


def true_fitness(model: Answers, pool: Pool = POOL) -> float:
    return fitness(fidelities.get("full").plan(pool, History(), {}, 0, 0).estimate(model), pool)


@pytest.mark.parametrize("name", ["subset", "batch", "entropy"])
def test_a_drawn_subset_is_right_on_average(name: str) -> None:
    """1000 draws: the mean estimate lies within 4 standard errors of the truth; fixed seeds, so no luck is left."""
    earlier, model = history("full", POOL, 2, gate=True), simulated(0.3, POOL, np.random.default_rng(7), gate=True)
    means = []
    for seed in range(1000):
        plan = fidelities.get(name).plan(POOL, earlier, {"samples": 30}, seed, 2)
        (estimate,) = plan.estimate(asked(plan, model))
        means.append((estimate.mean, estimate.right, estimate.in_language))
    truth = model.over(100).mean(axis=1)
    errors = np.std(means, axis=0) / math.sqrt(len(means))
    assert (np.abs(np.mean(means, axis=0) - truth) < 4 * errors).all()


def test_intervals_of_subsets_hold_the_truth_as_often_as_they_say() -> None:
    """500 draws of 20: at least 93 % of the 95 % intervals hold the mean over all samples."""
    model, held = simulated(0.0, POOL, np.random.default_rng(3)), 0
    for seed in range(500):
        plan = fidelities.get("subset").plan(POOL, History(), {"samples": 20}, seed, 0)
        (estimate,) = plan.estimate(asked(plan, model))
        held += estimate.low <= np.mean(model.score) <= estimate.high
    assert held >= 465


def test_a_batch_holds_200_samples_once_and_those_of_another_generation_or_run_are_others() -> None:
    pool, batch = Pool((Part(700), Part(300, 2.0))), fidelities.get("batch")
    first, again, next_one, other_run = (
        batch.plan(pool, History(), {}, seed, generation) for seed, generation in ((5, 0), (5, 0), (5, 1), (6, 0))
    )
    assert first == again and len(set(first.blocks[0])) == first.n_asked == 200
    assert list(map(len, pool.by_part(first.blocks[0]))) == [140, 60]
    assert len({frozenset(plan.blocks[0]) for plan in (first, next_one, other_run)}) == 3


@pytest.mark.parametrize("n", [1, 200])
def test_a_batch_is_everything_where_there_is_no_more(n: int) -> None:
    plan = fidelities.get("batch").plan(Pool((Part(n),)), History(), {}, 0, 0)
    assert plan.blocks == (tuple(range(n)),)
    assert not plan.estimate(asked(plan, answers([1.0] * n)))[0].is_estimate


def test_samples_that_divide_candidates_are_drawn_more_often() -> None:
    easy = answers([1.0] * 50 + [0.0] * 50)
    hard = answers([1.0] * 100)
    closed = tuple(Scored(found, 0.5) for found in (easy, hard) * 5)
    plan = fidelities.get("entropy").plan(POOL, History((), (closed,)), {"samples": 20}, 0, 1)
    assert sum(position >= 50 for position in plan.blocks[0]) >= 15


def test_systematic_draws_have_exactly_their_chances() -> None:
    chances = inclusion_chances(np.array([0.0, 1.0, 1.0, 2.0, 50.0]), 3)
    rng = np.random.default_rng(0)
    counts = np.bincount([i for _ in range(20_000) for i in draw(chances, rng)], minlength=5) / 20_000
    assert chances.sum() == pytest.approx(3) and chances.max() == 1
    assert counts == pytest.approx(chances, abs=4 * math.sqrt(0.25 / 20_000))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=5), st.integers(5, 200))
def test_every_benchmark_gets_its_share_of_a_subset(sizes: list[int], n: int) -> None:
    counts = allocate(min(n, sum(sizes)), Pool(tuple(Part(size) for size in sizes)))
    assert all(1 <= count <= size for count, size in zip(counts, sizes, strict=True))
    assert sum(counts) == min(n, sum(sizes))


@pytest.mark.parametrize("share_that_differs", [0.1, 0.4])
def test_racing_stops_an_equal_candidate_no_more_often_than_its_risk(share_that_differs: float) -> None:
    """As many samples on which only one is right, either way. 300 orders, risk 0.2: more than 0.27 has a chance of 0.001."""
    n = round(50 * share_that_differs)
    reference = answers([1.0] * n + [0.0] * n + [1.0] * (100 - 2 * n))
    equal = answers([0.0] * n + [1.0] * n + [1.0] * (100 - 2 * n))
    stopped = sum(len(asked(raced(reference, seed=seed, risk=0.2, block=5), equal)) < 100 for seed in range(300))
    assert stopped / 300 < 0.27


def test_racing_keeps_the_better_half() -> None:
    """120 generations of 8: of those as fit as the reference or fitter, at most the risk of 0.1 is stopped, give or take 0.03."""
    rng, kept, n = np.random.default_rng(0), 0, 0
    for seed in range(120):
        reference = simulated(0.5, POOL, rng, gate=True)
        plan, bar = raced(reference, seed=seed), true_fitness(reference)
        for _ in range(8):
            model = simulated(rng.normal(0.5, 0.5), POOL, rng, gate=True)
            if true_fitness(model) >= bar:
                n, kept = n + 1, kept + (len(asked(plan, model)) == 100)
    assert n > 300 and kept / n > 0.87


@pytest.mark.parametrize("name", ["racing", "halving"])
def test_a_hopeless_candidate_stops_early_and_a_better_one_never(name: str) -> None:
    reference = answers([1.0] * 80 + [0.0] * 20)
    plan = raced(reference, name)
    assert len(asked(plan, answers([0.0] * 90 + [1.0] * 10))) <= 30
    assert len(asked(plan, answers([1.0] * 100))) == 100


def test_a_stopped_candidate_is_told_its_difference_from_the_reference() -> None:
    """Hard samples first do not make it look worse than it is: the reference failed on them too."""
    plan = raced(answers([1.0] * 60 + [0.0] * 40))
    stopped = asked(plan, answers([0.0] * 100))
    (estimate,) = plan.estimate(stopped)
    missed = sum(position < 60 for position in stopped.positions) / len(stopped)
    assert len(stopped) < 100 and estimate.mean == pytest.approx(max(0.0, 0.6 - missed))
    assert estimate.is_estimate and estimate.n == len(stopped)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**31), st.booleans())
def test_mean_gain_is_at_least_the_difference_of_fitness(seed: int, gate: bool) -> None:
    pool, rng = Pool((Part(7, 1.0), Part(20, 3.0))), np.random.default_rng(seed)
    model, reference = (simulated(0.0, pool, rng, gate) for _ in range(2))
    found, largest = gains(model, reference, pool)
    difference = true_fitness(model, pool) - true_fitness(reference, pool)
    assert found.mean() >= difference - 1e-12 and np.abs(found).max() <= largest


def test_what_cannot_be_reached_any_more_is_certain() -> None:
    lost = np.full(51, -1.0)
    assert wealth(lost, 1.0, 100) == math.inf and wealth(lost[:9], 1.0, 10_000) < math.inf


def test_the_reference_is_not_above_the_middle_of_the_last_generation() -> None:
    models = [answers([1.0] * n + [0.0] * (100 - n)) for n in (90, 50, 40, 10)]
    scored = [Scored(model, np.mean(model.score).item()) for model in models]
    whole, part = scored[2], Scored(Answers((0,), (1.0,), (1.0,), (None,)), 0.55)
    assert reference_of(History((), (tuple(scored),)), POOL, 0.5) == models[1]
    assert reference_of(History((), (tuple(scored),)), POOL, 0.25) == models[0]
    assert reference_of(History((), ((whole,), (part, part))), POOL, 0.5) == models[2]
    assert reference_of(History((), ((part,),)), POOL, 0.5) is None and reference_of(History(), POOL, 0.5) is None


def test_all_candidates_of_a_generation_are_asked_the_same_samples_in_other_generations_others() -> None:
    plans = [fidelities.get("subset").plan(POOL, History(), {}, 1, generation) for generation in (0, 1)]
    assert plans[0].blocks != plans[1].blocks


def test_blocks_are_told_apart_by_benchmark() -> None:
    assert Pool((Part(3), Part(2))).by_part((4, 0, 3, 2)) == ((0, 2), (1, 0))


def test_finalists_are_the_fittest_and_the_earliest_among_equals() -> None:
    assert finalists([0.5, None, 0.9, 0.5, -0.1], 3) == [2, 0, 3]
    assert finalists([None, 0.0], 3) == [1]


def test_answers_to_other_samples_than_were_asked_are_refused() -> None:
    plan = fidelities.get("full").plan(Pool((Part(2),)), History(), {}, 0, 0)
    with pytest.raises(EvaluationError, match="asked samples"):
        ask_by(plan, lambda block: Answers((1, 0), (1.0, 1.0), (1.0, 1.0), (None, None)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"judge": {"kind": "magic"}}, "kind is 'magic'"),
        ({"blocks": [[0, 0]]}, "each once"),
        ({"blocks": [[2]]}, "below 2"),
        ({"pool": [[2, 0.0]]}, "weight above 0"),
        ({"more": 1}, "unknown more"),
    ],
)
def test_a_stored_plan_that_makes_no_sense_is_refused(change: dict[str, object], message: str) -> None:
    value = fidelities.get("full").plan(Pool((Part(2),)), History(), {}, 0, 0).to_json() | change
    with pytest.raises(EvaluationError, match=message):
        plan_from_json(json.loads(json.dumps(value)))


def test_nobody_stops_before_every_benchmark_was_asked_something() -> None:
    pool = Pool((Part(60), Part(2)))
    plan = raced(answers([1.0] * 62), pool=pool, block=1)
    assert all(pool.by_part(asked(plan, answers([0.0] * 62)).positions))


def test_answers_survive_storage() -> None:
    found = Answers((3, 1), (0.5, 1.0), (0.0, 1.0), (None, 1.0))
    assert Answers.from_json(json.loads(json.dumps(found.to_json()))) == found
