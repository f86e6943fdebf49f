"""Laws of every built-in benchmark."""

from __future__ import annotations

import pytest

from merging.benchmarks import SPLITS, Builtin, benchmarks, scorers
from merging.benchmarks.languages import check_language

ALL = pytest.mark.parametrize("builtin", list(benchmarks), ids=benchmarks.names())


@ALL
def test_a_benchmark_is_declared_in_full(builtin: Builtin) -> None:
    loaded = builtin.load()
    assert benchmarks.get(builtin.name) is builtin and loaded.name == builtin.name
    assert builtin.title and builtin.summary.endswith(".")
    assert loaded.scorer in scorers


@ALL
def test_loading_twice_gives_the_same_samples(builtin: Builtin) -> None:
    assert builtin.load().digest == builtin.load().digest


@ALL
def test_every_split_is_large_enough_to_tell_ten_points_apart(builtin: Builtin) -> None:
    """The 95 % interval of a share over 100 samples is at most +-10 points."""
    assert all(len(builtin.load().samples[split]) >= 100 for split in SPLITS)


@ALL
def test_expected_languages_can_be_detected(builtin: Builtin) -> None:
    for split in SPLITS:
        for sample in builtin.load().samples[split]:
            assert sample.language is None or check_language(sample.language, sample.id)
