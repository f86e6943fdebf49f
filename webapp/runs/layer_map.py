"""A recipe as a picture: one lane a parent, one column a layer group, bars as high as the weight and filled as far as the density.

Computes geometry in pixels; the template draws it. Every number stands beside its bar, so colour is decoration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from merging.recipes import LayerGroup, Recipe

WEIGHT: Final = "weight"
DENSITY: Final = "density"
LEFT: Final = 44  # for the scale
WIDTH: Final = 956
NARROWEST, WIDEST = 38, 104  # columns
LANE_HEIGHT: Final = 72
NAME_HEIGHT, VALUE_HEIGHT, DENSITY_HEIGHT, FOOT = 18, 20, 26, 24
STEP: Final = NAME_HEIGHT + VALUE_HEIGHT + LANE_HEIGHT + DENSITY_HEIGHT
FULL_WEIGHT: Final = 1.0


@dataclass(frozen=True)
class Bar:
    """One parent in one group. `kept_y` and `kept_height` are the filled part; `density` is None for methods without one."""

    x: float
    y: float
    width: float
    height: float
    kept_y: float
    kept_height: float
    middle: float
    weight: float
    weight_y: float
    density: float | None


@dataclass(frozen=True)
class Lane:
    """One parent: its bars on a ground line, and where a weight of one would reach. `colour` counts from 1."""

    parent: str
    colour: int
    ground: float
    full: float
    name_y: float
    density_y: float
    bars: list[Bar]


@dataclass(frozen=True)
class Column:
    """One layer group: where its label stands."""

    middle: float
    label: str


@dataclass(frozen=True)
class LayerMap:
    """Lanes and columns in a picture of `width` by `height`."""

    width: float
    height: float
    left: float
    label_y: float
    lanes: list[Lane]
    columns: list[Column]
    has_density: bool


def layer_map(recipe: Recipe) -> LayerMap | None:
    """The picture of a recipe; None when its method gives parents no weight."""
    if not recipe.values[0][0] or WEIGHT not in recipe.values[0][0]:
        return None
    n_groups = len(recipe.groups)
    step = min(WIDEST, max(NARROWEST, (WIDTH - LEFT) / n_groups))
    highest = max(FULL_WEIGHT, *(values[WEIGHT] for row in recipe.values for values in row))
    lanes = [_lane(recipe, parent, step, LANE_HEIGHT / highest) for parent in range(len(recipe.parents))]
    height = lanes[-1].ground + DENSITY_HEIGHT + FOOT
    columns = [Column(_middle(i, step), _label(group)) for i, group in enumerate(recipe.groups)]
    width = LEFT + n_groups * step
    return LayerMap(width, height, LEFT, height - 8, lanes, columns, DENSITY in recipe.values[0][0])


def _lane(recipe: Recipe, parent: int, step: float, scale: float) -> Lane:
    ground = (parent + 1) * STEP - DENSITY_HEIGHT
    values = [row[parent] for row in recipe.values]
    bars = [_bar(i, step, ground, v[WEIGHT], v.get(DENSITY), scale) for i, v in enumerate(values)]
    return Lane(
        parent=recipe.parents[parent].name,
        colour=parent % 8 + 1,
        ground=ground,
        full=round(ground - FULL_WEIGHT * scale, 1),
        name_y=ground - LANE_HEIGHT - VALUE_HEIGHT - 3,
        density_y=ground + 13,
        bars=bars,
    )


def _bar(i: int, step: float, ground: float, weight: float, density: float | None, scale: float) -> Bar:
    """A negative weight hangs below the ground, as far as there is room."""
    height = round(min(abs(weight) * scale, LANE_HEIGHT if weight > 0 else DENSITY_HEIGHT / 2), 1)
    top = ground - height if weight > 0 else ground
    kept = round(height * (1.0 if density is None else density), 1)
    width = round(min(step - 10, 64), 1)
    return Bar(
        x=round(_middle(i, step) - width / 2, 1),
        y=round(top, 1),
        width=width,
        height=height,
        kept_y=round(ground - kept if weight > 0 else ground, 1),
        kept_height=kept,
        middle=round(_middle(i, step), 1),
        weight=weight,
        weight_y=round(min(top, ground) - 5, 1),
        density=density,
    )


def _middle(i: int, step: float) -> float:
    return LEFT + (i + 0.5) * step


def _label(group: LayerGroup) -> str:
    if group.stop is None:
        return "all layers"
    if group.start == group.stop:
        return "input" if group.before else "head"
    return str(group.start) if group.stop == group.start + 1 else f"{group.start}–{group.stop - 1}"


def gene_rows(recipe: Recipe, genome: Sequence[float]) -> list[tuple[str, str, str, float, float]]:
    """Group, parent, parameter, gene and value of every gene, in the order of the genome."""
    genes = iter(genome)
    return [
        (group.name, parent.name, name, next(genes), value)
        for group, row in zip(recipe.groups, recipe.values, strict=True)
        for parent, values in zip(recipe.parents, row, strict=True)
        for name, value in values.items()
    ]
