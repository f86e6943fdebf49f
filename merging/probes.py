"""Probes: what each layer is worth to a model, asked by leaving it out. No torch.

Knows paths; neither how a model is scored nor who looks at the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from merging.errors import RecipeError
from merging.hops import Hop, LayerPath
from merging.paths import path_recipe
from merging.recipes import Dtype, Parent, Recipe

ProbeKind = Literal["skipped", "left out"]
"""A layer of a parent, or a hop of a path."""


@dataclass(frozen=True)
class Probe:
    """A model with one thing changed: `name` says what for people, `position` counts the layers or hops of the whole from 0."""

    kind: ProbeKind
    position: int
    name: str
    recipe: Recipe


def layers_skipped(parent: Parent, n_layers: int, dtype: Dtype = "float32") -> tuple[Probe, ...]:
    """A probe for each layer of a parent, without that layer. RecipeError for a model of one layer, which is nothing without it."""
    whole = LayerPath(tuple(Hop(0, layer) for layer in range(n_layers)))
    return tuple(
        Probe("skipped", layer, f"layer {layer} skipped", path_recipe((parent,), rest, dtype))
        for layer, rest in enumerate(_each_left_out(whole, parent.name))
    )


def hops_left_out(recipe: Recipe) -> tuple[Probe, ...]:
    """A probe for each hop of a path's recipe, without it; other hops keep their scales. RecipeError for a recipe that is no
    path, or a path of one hop.
    """
    path = recipe.path
    if path is None:
        raise RecipeError(f"only a path has hops to leave out: {recipe.sentence()}")
    return tuple(
        Probe("left out", position, _left_out(recipe, position, hop), _along(recipe, rest))
        for position, (hop, rest) in enumerate(zip(path.hops, _each_left_out(path, "the path"), strict=True))
    )


def _each_left_out(path: LayerPath, whose: str) -> Iterator[LayerPath]:
    if path.n_hops == 1:
        raise RecipeError(f"{whose} has one layer: nothing is left without it")
    for position in range(path.n_hops):
        yield LayerPath(path.hops[:position] + path.hops[position + 1 :])


def _left_out(recipe: Recipe, position: int, hop: Hop) -> str:
    """Hops are counted from 1, as steps are; layers from 0, as in files."""
    return f"hop {position + 1} left out: layer {hop.layer} of {recipe.parents[hop.parent].name}"


def _along(recipe: Recipe, path: LayerPath) -> Recipe:
    """Another path with the same parents and companions."""
    return replace(path_recipe(recipe.parents, path, recipe.dtype), companions=recipe.companions)
