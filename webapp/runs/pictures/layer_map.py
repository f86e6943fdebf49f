"""A recipe as a picture: a lane for every number that parents have or share, a column a range of layers, a bar a value.

A weight's bar is filled as far as the density. Computes geometry in pixels; the template draws it. Every number stands beside its bar, so
colour is decoration.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from merging.genomes import GenomeSpace
from merging.methods import methods
from merging.recipes import LayerGroup, Recipe, layer_ranges

WEIGHT: Final = "weight"
DENSITY: Final = "density"
LEFT: Final = 44  # for the scale
WIDTH: Final = 956
NARROWEST, WIDEST = 38, 104  # columns
LANE_HEIGHT: Final = 72
NAME_HEIGHT, VALUE_HEIGHT, DENSITY_HEIGHT, FOOT = 18, 20, 26, 24
STEP: Final = NAME_HEIGHT + VALUE_HEIGHT + LANE_HEIGHT + DENSITY_HEIGHT
FULL_WEIGHT: Final = 1.0
N_COLOURS: Final = 8
REST: Final = "rest"


@dataclass(frozen=True)
class Bar:
    """One number in one group. `kept_y` and `kept_height` are the filled part; `density` is None for methods without one."""

    x: float
    y: float
    width: float
    height: float
    kept_y: float
    kept_height: float
    middle: float
    value: float
    value_y: float
    density: float | None


@dataclass(frozen=True)
class Lane:
    """A parent's weights, or what all parents share: bars on a ground line, and where `scale` would reach.

    `name` is the parent's or the parameter's, `part` that of the layers, if they are divided; `colour` counts from 1, `digits` are those
    after the point.
    """

    name: str
    part: str
    colour: int
    ground: float
    full: float
    scale: str
    digits: int
    name_y: float
    density_y: float
    bars: list[Bar]


@dataclass(frozen=True)
class Column:
    """One range of layers, or one part of all layers: where its label stands."""

    middle: float
    label: str


@dataclass(frozen=True)
class LayerMap:
    """Lanes and columns in a picture of `width` by `height`. `shared` says what each number that parents share means.

    `by_part`: there is one range of layers, and the columns are its parts.
    """

    width: float
    height: float
    left: float
    label_y: float
    lanes: list[Lane]
    columns: list[Column]
    by_part: bool
    parents: list[str]
    has_weight: bool
    has_density: bool
    shared: Mapping[str, str]


@dataclass(frozen=True)
class Row:
    """What one lane shows: a value and perhaps a density at some columns."""

    name: str
    part: str
    colour: int
    high: float
    full: float
    values: Sequence[tuple[int, float, float | None]]


def layer_map(recipe: Recipe) -> LayerMap | None:
    """The picture of a recipe; None when its method gives parents no weight and nothing to share."""
    rows = rows_of(recipe)
    if not rows:
        return None
    labels = [label for label, _ in _columns(recipe.groups)]
    step = min(WIDEST, max(NARROWEST, (WIDTH - LEFT) / len(labels)))
    lanes = [_lane(row, i, step) for i, row in enumerate(rows)]
    height = lanes[-1].ground + DENSITY_HEIGHT + FOOT
    return LayerMap(
        width=LEFT + len(labels) * step,
        height=height,
        left=LEFT,
        label_y=height - 8,
        lanes=lanes,
        columns=[Column(_middle(i, step), label) for i, label in enumerate(labels)],
        by_part=_by_part(recipe.groups),
        parents=[parent.name for parent in recipe.parents],
        has_weight=WEIGHT in recipe.values[0][0],
        has_density=DENSITY in recipe.values[0][0],
        shared={parameter.name: parameter.help for parameter in methods.get(recipe.method).per_group()},
    )


def rows_of(recipe: Recipe) -> list[Row]:
    """What its lanes show, from the top: the numbers that parents share, then each parent's weights."""
    return [*_shared_rows(recipe), *_weight_rows(recipe)]


def n_columns(recipe: Recipe) -> int:
    """How many ranges of layers there are, or parts of one range."""
    return len(_columns(recipe.groups))


def _shared_rows(recipe: Recipe) -> Iterator[Row]:
    """A row for each number that parents share, for each filter."""
    for parameter in methods.get(recipe.method).per_group():
        high = max(parameter.high, *(shared[parameter.name] for shared in recipe.shared))
        for part, places in _parts(recipe.groups):
            values = [(column, recipe.shared[group][parameter.name], None) for column, group in places]
            yield Row(parameter.name, part, N_COLOURS, high, parameter.high, values)


def _weight_rows(recipe: Recipe) -> Iterator[Row]:
    """A row for each parent that has weights, for each filter."""
    if WEIGHT not in recipe.values[0][0]:
        return
    high = max(FULL_WEIGHT, *(values[WEIGHT] for row in recipe.values for values in row))
    for parent, model in enumerate(recipe.parents):
        for part, places in _parts(recipe.groups):
            own = [(column, recipe.values[group][parent]) for column, group in places]
            values = [(column, of_parent[WEIGHT], of_parent.get(DENSITY)) for column, of_parent in own]
            yield Row(model.name, part, parent % N_COLOURS + 1, high, FULL_WEIGHT, values)


def _columns(groups: Sequence[LayerGroup]) -> list[tuple[str, list[int]]]:
    """The label and the groups of each column: a range of layers, or a part of all layers when there is but one range."""
    if _by_part(groups):
        return [(_part(group), [number]) for number, group in enumerate(groups)]
    return [(_label(groups[numbers[0]]), list(numbers)) for numbers in layer_ranges(groups)]


def _by_part(groups: Sequence[LayerGroup]) -> bool:
    return len(layer_ranges(groups)) == 1 < len(groups)


def _parts(groups: Sequence[LayerGroup]) -> list[tuple[str, list[tuple[int, int]]]]:
    """The lanes of a parent: a name, empty for one lane alone, and its groups by column. What no filter names comes last."""
    places = [(column, number) for column, (_, numbers) in enumerate(_columns(groups)) for number in numbers]
    filters = dict.fromkeys(group.filter for group in groups if group.filter)
    if not filters or _by_part(groups):
        return [("", places)]
    return [(part or REST, [place for place in places if groups[place[1]].filter == part]) for part in (*filters, "")]


def _part(group: LayerGroup) -> str:
    return group.filter or REST


def _lane(row: Row, i: int, step: float) -> Lane:
    ground, scale = (i + 1) * STEP - DENSITY_HEIGHT, LANE_HEIGHT / row.high
    return Lane(
        name=row.name,
        part=row.part,
        colour=row.colour,
        ground=ground,
        full=round(ground - row.full * scale, 1),
        scale=f"{row.full:g}",
        digits=max(2, 2 - math.floor(math.log10(row.full))),
        name_y=ground - LANE_HEIGHT - VALUE_HEIGHT - 3,
        density_y=ground + 13,
        bars=[_bar(column, step, ground, value, density, scale) for column, value, density in row.values],
    )


def _bar(i: int, step: float, ground: float, value: float, density: float | None, scale: float) -> Bar:
    """A negative number hangs below the ground, as far as there is room."""
    height = round(min(abs(value) * scale, LANE_HEIGHT if value > 0 else DENSITY_HEIGHT / 2), 1)
    top = ground - height if value > 0 else ground
    kept = round(height * (1.0 if density is None else density), 1)
    width = round(min(step - 10, 64), 1)
    return Bar(
        x=round(_middle(i, step) - width / 2, 1),
        y=round(top, 1),
        width=width,
        height=height,
        kept_y=round(ground - kept if value > 0 else ground, 1),
        kept_height=kept,
        middle=round(_middle(i, step), 1),
        value=value,
        value_y=round(min(top, ground) - 5, 1),
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


def gene_rows(recipe: Recipe, groups: str, genome: Sequence[float]) -> list[tuple[str, str | None, str, float, float]]:
    """Group, parent (None: all), parameter, gene and value of every gene of a recipe whose granularity is `groups`."""
    genes = GenomeSpace.around(recipe, groups).genes if genome else ()
    return [(gene.group, gene.parent, gene.parameter, x, gene.value(x)) for gene, x in zip(genes, genome, strict=True)]
