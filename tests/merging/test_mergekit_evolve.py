"""Configurations of mergekit-evolve: what maps to a search here is read, and the rest is said. Examples follow docs/evolve.md there."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from merging.errors import RecipeError
from merging.mergekit_evolve import Evolution, Task, read_evolution


def evolution(top: dict[str, Any] | None = None, **genome: Any) -> Evolution:
    """Two models by dare_ties in groups of eight layers, on one task."""
    usual = {
        "models": ["org/a", "org/b"],
        "merge_method": "dare_ties",
        "base_model": "org/base",
        "layer_granularity": 8,
    }
    content = {"genome": usual | genome, "tasks": [{"name": "sums"}], **(top or {})}
    return read_evolution(yaml.safe_dump(content))


def test_models_method_groups_and_tasks_are_read() -> None:
    found = evolution({"tasks": ["sums", {"name": "poems", "weight": 0.5, "metric": "rhyme,none"}], "limit": 50})
    assert (found.models, found.base, found.method) == (("org/a", "org/b"), "org/base", "dare_ties")
    assert found.tasks == (Task("sums"), Task("poems", 0.5, "rhyme,none"))
    assert (found.limit, found.normalize, found.notes) == (50, True, ())


@pytest.mark.parametrize(
    ("genome", "n_layers", "groups"),
    [
        ({}, 32, "4"),
        ({"layer_granularity": 1}, 32, "block"),
        ({"layer_granularity": 32}, 32, "model"),
        ({"layer_granularity": 0}, 32, "model"),
        ({"smooth": True}, 32, "gradient 4"),
    ],
)
def test_groups_are_as_many_as_the_models_are_deep(genome: dict[str, Any], n_layers: int, groups: str) -> None:
    assert evolution(**genome).groups(n_layers) == groups


def test_groups_that_do_not_divide_the_layers_are_refused() -> None:
    with pytest.raises(RecipeError, match="layer_granularity is 8, which does not divide the 30 layers"):
        evolution().groups(30)


@pytest.mark.parametrize(
    ("genome", "normalize"),
    [
        ({"merge_method": "task_arithmetic"}, False),
        ({"merge_method": "linear"}, True),
        ({"normalize": False}, False),
    ],
)
def test_weights_are_normalized_as_there_where_the_file_is_silent(genome: dict[str, Any], normalize: bool) -> None:
    assert evolution(**genome).normalize is normalize


@pytest.mark.parametrize(
    ("top", "genome", "note"),
    [
        ({}, {"merge_method": "model_stock"}, "merge_method: model_stock is not searched: it has no number"),
        ({}, {"merge_method": "dare_tise"}, "Did you mean dare_ties?"),
        ({}, {"merge_method": "slerp"}, "base_model: SLERP uses none here."),
        ({}, {"merge_method": "slerp", "models": ["a", "b", "c"]}, "models: SLERP takes 2 models here"),
        ({}, {"allow_negative_weights": True}, "allow_negative_weights: negative weights are not searched"),
        ({}, {"sigma": 1}, "genome.sigma: mergekit-evolve knows no such key."),
        ({"random_init": True}, {}, "random_init: a search here begins in the middle"),
        ({"num_fewshot": 2, "shuffle": True}, {}, "num_fewshot and shuffle: how questions are asked"),
        ({"tasks": [{"name": "perplexity", "weight": -1}]}, {}, "tasks: perplexity has the weight -1"),
    ],
)
def test_what_has_no_place_here_is_said(top: dict[str, Any], genome: dict[str, Any], note: str) -> None:
    assert note in " ".join(evolution(top, **genome).notes)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "merge_method: ties\nmodels: []",
            "this is no configuration of mergekit-evolve, but a recipe: it has no genome",
        ),
        ("tasks: []", "this is no configuration of mergekit-evolve: it has no genome"),
        ("genome: [", "the configuration is no YAML"),
        ("genome: {merge_method: ties}\ntasks: []", "genome.models is None; expected a list"),
        ("genome: {models: [a], merge_method: ties}", "tasks is None; expected a list"),
        (
            "genome: {models: [a], merge_method: ties, filters: mlp}\ntasks: []",
            "genome.filters is 'mlp'; expected a list",
        ),
        ("genome: {models: [{model: a}], merge_method: ties}\ntasks: []", "genome.models[0] is"),
    ],
)
def test_another_file_is_refused_with_what_is_wrong(text: str, sentence: str) -> None:
    with pytest.raises(RecipeError) as refused:
        read_evolution(text)
    assert sentence in str(refused.value)
