"""Laws of every built-in benchmark."""

from __future__ import annotations

from functools import cache

import pytest

from merging.benchmarks import SPLITS, Benchmark, Builtin, Questions, benchmarks, scorers
from merging.benchmarks.languages import check_language
from merging.benchmarks.samples import question_key
from merging.benchmarks.scorers import ChoiceScorer
from merging.demo.texts import split_of
from tests.merging.test_demo import operands
from tests.merging.test_evaluation import Speaker


@cache
def loaded(name: str) -> Benchmark:
    return benchmarks.get(name).load()


ALL = pytest.mark.parametrize("builtin", list(benchmarks), ids=benchmarks.names())


@ALL
def test_a_benchmark_is_declared_in_full(builtin: Builtin) -> None:
    found = loaded(builtin.name)
    assert benchmarks.get(builtin.name) is builtin and found.name == builtin.name
    assert builtin.title and builtin.summary.endswith(".")
    assert found.scorer in {scorer.id for scorer in scorers}


@ALL
def test_loading_twice_gives_the_same_samples(builtin: Builtin) -> None:
    assert builtin.load().digest == loaded(builtin.name).digest


@ALL
def test_every_split_is_large_enough_to_tell_ten_points_apart(builtin: Builtin) -> None:
    """The 95 % interval of a share over 100 samples is at most +-10 points."""
    assert all(len(loaded(builtin.name).samples[split]) >= 100 for split in SPLITS)


@ALL
def test_expected_languages_can_be_detected(builtin: Builtin) -> None:
    for split in SPLITS:
        for sample in loaded(builtin.name).samples[split]:
            assert sample.language is None or check_language(sample.language, sample.id)


@ALL
def test_no_question_of_a_split_is_asked_in_another_benchmarks_other_split(builtin: Builtin) -> None:
    """Benchmarks are searched together: what one of them holds out must not be seen through another."""
    asked = {split: {question_key(s) for s in loaded(builtin.name).samples[split]} for split in SPLITS}
    for other in benchmarks:
        for split in SPLITS:
            elsewhere = {question_key(s) for name in SPLITS if name != split for s in loaded(other.name).samples[name]}
            assert not asked[split] & elsewhere


@ALL
def test_the_operands_of_the_demo_packs_questions_belong_to_their_split(builtin: Builtin) -> None:
    for split in SPLITS:
        assert all(split_of(*operands(sample.question)) == split for sample in loaded(builtin.name).samples[split])


@ALL
def test_a_model_that_gives_the_answers_scores_one_on_every_sample(builtin: Builtin) -> None:
    """Without a gate; what the gate asks for is another matter."""
    found = loaded(builtin.name)
    assert isinstance(found, Questions)
    samples = found.take("search", 20)
    likelihoods = [float(choice == sample.answer) for sample in samples for choice in sample.choices]
    model = Speaker(*(sample.answer for sample in samples), likelihoods=likelihoods)
    assert all(outcome.right for outcome in found.ask(model, samples))


def test_a_new_user_sees_every_kind_of_benchmark() -> None:
    every = [loaded(name) for name in benchmarks.names()]
    assert any(isinstance(one.judge, ChoiceScorer) for one in every if isinstance(one, Questions))
    assert any(not one.has_binary_scores for one in every) and any(one.language_gate for one in every)
