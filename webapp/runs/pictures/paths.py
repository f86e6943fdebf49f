"""From recipes to routes: whose layers a path goes through, in the order of its run's parents, and how many layers these have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from merging.errors import ParentError
from merging.hops import Hop, LayerPath
from merging.indexes import parent_facts
from merging.path_genomes import PathSpace
from merging.recipes import Parent, Recipe, passthrough_recipe
from webapp.library.models import Parent as ParentRow
from webapp.runs.config import RunConfig
from webapp.runs.pictures import route
from webapp.runs.pictures.route import Route, Way

_known: dict[str, int] = {}


def route_of(recipe: Recipe, parents: Sequence[Parent]) -> Route | None:
    """The picture of a recipe that is a path, also of a parent as it is; None for any other. `parents` are the run's."""
    models = _models(parents, [recipe])
    depths = _depths(models, [recipe])
    way = way_through(models, recipe, depths)
    return route.route(way, _names(models), depths) if way else None


def side_by_side(
    first: Recipe, second: Recipe, parents: Sequence[Parent], names: tuple[str, str]
) -> tuple[Route, Route, str] | None:
    """Both pictures with common columns, and how they differ in a sentence that calls them by `names`; None unless both are paths."""
    models = _models(parents, [first, second])
    depths = _depths(models, [first, second])
    a, b = (way_through(models, recipe, depths) for recipe in (first, second))
    if a is None or b is None:
        return None
    return *route.side_by_side(a, b, _names(models), depths), route.difference(a.path, b.path, names)


def way_through(models: Sequence[Parent], recipe: Recipe, depths: Sequence[int]) -> Way | None:
    """The path of a recipe, its hops counting `models`, which have `depths` layers; a parent as it is passes all of its own."""
    if recipe.path:
        places = [models.index(parent) for parent in recipe.parents]
        hops = (replace(hop, parent=places[hop.parent]) for hop in recipe.path.hops)
        return Way(LayerPath(tuple(hops)), ends=places[0])
    parent = recipe.parents[0]
    if recipe.content() != passthrough_recipe(parent, recipe.dtype).content():
        return None
    place = models.index(parent)
    return Way(LayerPath(tuple(Hop(place, layer) for layer in range(depths[place]))), ends=place)


def space_of(config: RunConfig) -> PathSpace | None:
    """The slots of a run that searches for a path; None for another run, and where nobody knows how many layers its parents have."""
    depths = depths_of(config.parents)
    if config.path is None or len(depths) < len(config.parents):
        return None
    return config.path_space(config.path, [depths[parent] for parent in config.parents])


def depths_of(parents: Sequence[Parent]) -> dict[Parent, int]:
    """How many layers these have, as far as the library or their folders say."""
    unknown = {parent.fingerprint for parent in parents} - _known.keys()
    if unknown:
        rows = ParentRow.objects.filter(fingerprint__in=unknown).values_list("fingerprint", "n_layers")
        _known.update(rows)
    for parent in parents:
        if parent.fingerprint not in _known:
            try:
                _known[parent.fingerprint] = parent_facts(parent.folder).n_layers
            except (ParentError, OSError):
                pass  # its folder is gone; a path says at least which layers there were
    return {parent: _known[parent.fingerprint] for parent in parents if parent.fingerprint in _known}


def _models(parents: Sequence[Parent], recipes: Sequence[Recipe]) -> list[Parent]:
    """The run's parents, then whatever else the recipes are made of."""
    return list(dict.fromkeys([*parents, *(parent for recipe in recipes for parent in recipe.parents)]))


def _depths(models: Sequence[Parent], recipes: Sequence[Recipe]) -> list[int]:
    """At least as many as the paths pass."""
    known = depths_of(models)
    least = dict.fromkeys(models, 1)
    for recipe in recipes:
        for hop in recipe.path.hops if recipe.path else ():
            parent = recipe.parents[hop.parent]
            least[parent] = max(least[parent], hop.layer + 1)
    return [max(known.get(parent, 1), least[parent]) for parent in models]


def _names(models: Sequence[Parent]) -> list[str]:
    return [model.name for model in models]
