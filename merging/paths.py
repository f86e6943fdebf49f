"""Paths through parents' layers as recipes: a stack of layers, and how much the residual stream is scaled before each.

What a path is, the form of its recipe and how scales become part of an ordinary model: `docs/data-flow.md`. No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from merging.errors import RecipeError
from merging.hops import LayerPath, Stretch
from merging.recipes import Dtype, LayerGroup, Parent, Recipe, Source, layers_name


def path_recipe(parents: Sequence[Parent], path: LayerPath, dtype: Dtype = "float32") -> Recipe:
    """The recipe of a path. Embeddings, final norm, head, tokenizer and configuration are the first parent's, wherever the
    path begins and ends.

    A parent that the path does not pass is left out, except the first, and those after it move up: the hops of `Recipe.path`
    count the recipe's own parents. RecipeError for a hop through a parent that there is not.
    """
    if len(path.counts) > len(parents):
        raise RecipeError(f"the path passes parent {len(path.counts) - 1}, counted from 0, of {len(parents)} parents")
    kept = [0, *(parent for parent, n in enumerate(path.counts) if n and parent > 0)]
    groups = _with_ends(groups_of([replace(one, parent=kept.index(one.parent)) for one in path.stretches]))
    return Recipe(
        method="passthrough",
        base=None,
        parents=tuple(parents[parent] for parent in kept),
        groups=groups,
        values=(({"scale": 1.0},),) * len(groups),
        settings={},
        seed=0,
        dtype=dtype,
        scales=path.scales,
    )


def groups_of(stretches: Sequence[Stretch]) -> list[LayerGroup]:
    """A layer group for each stretch, one after the other; what comes before and after the layers is in none of them."""
    stops = list(accumulate(one.n_layers for one in stretches))
    return [
        LayerGroup(
            name=layers_name(stop - one.n_layers, stop),
            start=stop - one.n_layers,
            stop=stop,
            before=False,
            after=False,
            sources=(Source(one.parent, one.start),),
        )
        for one, stop in zip(stretches, stops, strict=True)
    ]


def _with_ends(groups: Sequence[LayerGroup]) -> tuple[LayerGroup, ...]:
    """Embeddings and head of the first parent: with its own layers where they stand beside them, else in groups without layers."""
    first = Source(0, 0)
    *others, last = groups
    if last.sources[0].parent == 0:
        end = [*others, replace(last, after=True)]
    else:
        end = [*groups, LayerGroup("head", last.stop or 0, last.stop, before=False, after=True, sources=(first,))]
    if end[0].sources[0].parent == 0:
        return replace(end[0], before=True), *end[1:]
    return LayerGroup("embeddings", 0, 0, before=True, after=False, sources=(first,)), *end
