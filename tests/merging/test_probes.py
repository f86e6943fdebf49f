"""Probes of layers and hops: one for each, with exactly one thing changed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from merging.errors import RecipeError
from merging.hops import Hop, LayerPath
from merging.paths import path_recipe
from merging.probes import hops_left_out, layers_skipped
from merging.recipes import Companions, Parent, Recipe, passthrough_recipe

A, B = Parent("a", "/a", "1"), Parent("b", "/b", "2")


def route(recipe: Recipe) -> list[tuple[str, int, float]]:
    path = recipe.path
    assert path is not None
    return [(recipe.parents[hop.parent].name, hop.layer, hop.scale) for hop in path.hops]


def test_each_layer_is_skipped_once() -> None:
    probes = layers_skipped(A, 3, "bfloat16")
    assert [(probe.position, probe.name) for probe in probes] == [(i, f"layer {i} skipped") for i in range(3)]
    assert [[layer for _, layer, _ in route(probe.recipe)] for probe in probes] == [[1, 2], [0, 2], [0, 1]]
    assert {(probe.kind, probe.recipe.dtype, probe.recipe.parents) for probe in probes} == {
        ("skipped", "bfloat16", (A,))
    }


def test_each_hop_is_left_out_once_and_the_others_stay_as_they_are() -> None:
    """Also the only one through the second parent, whose absence moves nobody else."""
    hops = (Hop(0, 0, 0.9), Hop(1, 2, 1.2), Hop(0, 1))
    whole = replace(path_recipe((A, B), LayerPath(hops), "float16"), companions=Companions("first", "{{ x }}"))
    probes = hops_left_out(whole)
    assert [probe.name for probe in probes] == [
        "hop 1 left out: layer 0 of a",
        "hop 2 left out: layer 2 of b",
        "hop 3 left out: layer 1 of a",
    ]
    assert [route(probe.recipe) for probe in probes] == [
        [route(whole)[j] for j in range(3) if j != i] for i in range(3)
    ]
    assert {(probe.recipe.dtype, probe.recipe.companions) for probe in probes} == {
        ("float16", Companions("first", "{{ x }}"))
    }
    assert probes[1].recipe.parents == (A,)


def test_nothing_is_left_of_one_layer() -> None:
    with pytest.raises(RecipeError, match="a has one layer: nothing is left without it"):
        layers_skipped(A, 1)
    with pytest.raises(RecipeError, match="the path has one layer"):
        hops_left_out(path_recipe((A,), LayerPath((Hop(0, 0),))))


def test_only_a_path_has_hops() -> None:
    with pytest.raises(RecipeError, match="only a path has hops to leave out"):
        hops_left_out(passthrough_recipe(A))
