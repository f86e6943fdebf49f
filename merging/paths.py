"""Paths through parents' layers as recipes: a stack of layers, and how much the residual stream is scaled before each.

What a path is, the form of its recipe and how scales become part of an ordinary model: `docs/data-flow.md`. No torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from merging.errors import RecipeError
from merging.hops import Hop, LayerPath, Stretch
from merging.recipes import Dtype, LayerGroup, Parent, Recipe, Source, layers_name

__all__ = ["Hop", "LayerPath", "path_of", "path_recipe"]


def path_recipe(parents: Sequence[Parent], path: LayerPath, dtype: Dtype = "float32") -> Recipe:
    """The recipe of a path. Embeddings, final norm, head, tokenizer and configuration are the first parent's, wherever the
    path begins and ends.

    A parent that the path does not pass is left out, except the first, and those after it move up: the hops of `path_of`
    count the recipe's own parents. RecipeError for a hop through a parent that there is not.
    """
    if len(path.counts) > len(parents):
        raise RecipeError(f"the path passes parent {len(path.counts) - 1}, counted from 0, of {len(parents)} parents")
    kept = [0, *(parent for parent, n in enumerate(path.counts) if n and parent > 0)]
    groups = tuple(_groups([Stretch(kept.index(one.parent), one.start, one.stop) for one in path.stretches]))
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


def path_of(recipe: Recipe) -> LayerPath | None:
    """The path that a recipe is: stacked layers as they are stored, each from one model, between the ends of the first
    parent. None for any other recipe, also for a stack whose head is another parent's.
    """
    return recipe.path


def _groups(stretches: Sequence[Stretch]) -> Iterator[LayerGroup]:
    """One for each stretch; ends that are not beside layers of the first parent are groups without layers."""
    starts_inside, ends_inside = stretches[0].parent == 0, stretches[-1].parent == 0
    if not starts_inside:
        yield LayerGroup("embeddings", 0, 0, before=True, after=False, sources=(Source(0, 0),))
    position = 0
    for number, one in enumerate(stretches):
        stop = position + one.n_layers
        yield LayerGroup(
            name=layers_name(position, stop),
            start=position,
            stop=stop,
            before=number == 0 and starts_inside,
            after=number == len(stretches) - 1 and ends_inside,
            sources=(Source(one.parent, one.start),),
        )
        position = stop
    if not ends_inside:
        yield LayerGroup("head", position, position, before=False, after=True, sources=(Source(0, 0),))
