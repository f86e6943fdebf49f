"""Probes: what each layer is worth to a model, asked by leaving it out, or passing it twice. No torch.

Knows paths; neither how a model is scored nor who looks at the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from merging.errors import RecipeError
from merging.hops import Hop, LayerPath
from merging.paths import path_of, path_recipe
from merging.recipes import Dtype, Parent, Recipe

ProbeKind = Literal["skipped", "twice", "left out"]
"""The first two are of a parent, the last is of a path."""


@dataclass(frozen=True)
class Probe:
    """A model with one thing changed: `name` says what for people, `position` counts the layers or hops of the whole from 0."""

    kind: ProbeKind
    position: int
    name: str
    recipe: Recipe


@dataclass(frozen=True)
class Bar:
    """What a change does to the score: below 0, the whole is better. None where the probe has no score."""

    position: int
    name: str
    difference: float | None


def layers_skipped(parent: Parent, n_layers: int, dtype: Dtype = "float32") -> tuple[Probe, ...]:
    """A probe for each layer of a parent, without that layer. RecipeError for a model of one layer, which is nothing without it."""
    whole = _layers_of(n_layers)
    return tuple(
        Probe("skipped", layer, f"layer {layer} skipped", path_recipe((parent,), rest, dtype))
        for layer, rest in enumerate(_each_left_out(whole, parent.name))
    )


def layers_twice(parent: Parent, n_layers: int, dtype: Dtype = "float32") -> tuple[Probe, ...]:
    """A probe for each layer of a parent, with that layer twice in a row."""
    hops = _layers_of(n_layers).hops
    return tuple(
        Probe(
            "twice",
            layer,
            f"layer {layer} twice",
            path_recipe((parent,), LayerPath((*hops[: layer + 1], *hops[layer:])), dtype),
        )
        for layer in range(n_layers)
    )


def hops_left_out(recipe: Recipe) -> tuple[Probe, ...]:
    """A probe for each hop of a path's recipe, without it; other hops keep their scales. RecipeError for a recipe that is no
    path, or a path of one hop.
    """
    path = path_of(recipe)
    if path is None:
        raise RecipeError(f"only a path has hops to leave out: {recipe.sentence()}")
    return tuple(
        Probe("left out", position, _left_out(recipe, position, hop), _along(recipe, rest))
        for position, (hop, rest) in enumerate(zip(path.hops, _each_left_out(path, "the path"), strict=True))
    )


def bars(probes: Sequence[Probe], scores: Sequence[float | None], whole: float) -> tuple[Bar, ...]:
    """One for each probe, in order: its score less that of the `whole`."""
    return tuple(
        Bar(probe.position, probe.name, None if score is None else score - whole)
        for probe, score in zip(probes, scores, strict=True)
    )


def _layers_of(n_layers: int) -> LayerPath:
    """A parent as it is."""
    return LayerPath(tuple(Hop(0, layer) for layer in range(n_layers)))


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
