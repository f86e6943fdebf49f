"""A recipe as a picture of a thumb's size: what every parent gives at every depth, or the route through the layers.

One SVG path per lane, so that fifty of them are a small page. The layer map and the route have the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from merging.recipes import Parent, Recipe
from webapp.runs.pictures.layer_map import N_COLOURS, n_columns, rows_of

WIDTH: Final = 96
LANE: Final = 9  # the height of a lane, with the gap above it
GAP: Final = 2
MAX_LANES: Final = 6
ROUTE_HEIGHT: Final = 24


@dataclass(frozen=True)
class Strand:
    """One parent's part of the picture; `colour` counts from 1."""

    colour: int
    d: str


@dataclass(frozen=True)
class Thumbnail:
    """`is_route`: the strands are strokes along the layers, else filled bars from the ground of their lanes."""

    width: int
    height: int
    strands: list[Strand]
    is_route: bool


def thumbnail(recipe: Recipe, parents: Sequence[Parent]) -> Thumbnail | None:
    """The picture of a recipe of a run with these parents; None when its method gives parents no weight and nothing to share."""
    return _route(recipe, parents) if recipe.path else _bars(recipe)


def _bars(recipe: Recipe) -> Thumbnail | None:
    rows = rows_of(recipe)[-MAX_LANES:]  # the parents stand last
    step, room = WIDTH / n_columns(recipe), LANE - GAP
    strands = []
    for i, row in enumerate(rows):
        ground = (i + 1) * LANE
        bars = [
            f"M{column * step:.1f} {ground}v{-room * min(abs(value) / row.high, 1.0):.1f}h{max(step - 1, 1):.1f}V{ground}z"
            for column, value, _ in row.values
        ]
        strands.append(Strand(row.colour, "".join(bars)))
    return Thumbnail(WIDTH, len(rows) * LANE, strands, is_route=False) if rows else None


def _route(recipe: Recipe, parents: Sequence[Parent]) -> Thumbnail:
    hops = recipe.path.hops if recipe.path else ()
    step, depth = WIDTH / len(hops), max(hop.layer for hop in hops) or 1
    strands = []
    for i, parent in enumerate(recipe.parents):
        strokes = [
            f"M{at * step:.1f} {2 + (ROUTE_HEIGHT - 4) * hop.layer / depth:.1f}h{step:.1f}"
            for at, hop in enumerate(hops)
            if hop.parent == i
        ]
        place = parents.index(parent) if parent in parents else i
        strands.append(Strand(place % N_COLOURS + 1, "".join(strokes)))
    return Thumbnail(WIDTH, ROUTE_HEIGHT, strands, is_route=True)
