"""A path as a picture: the parents' layers as rows, first to last, and the route that every token takes through them, hop by hop.

Below the route a bar for each scale. Two routes may share their columns, so that what they have in common stands one above the other.
Computes geometry in pixels; the template draws it. Every hop stands in words beside the picture as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final

from merging.hops import Hop, LayerPath
from merging.words import counted
from webapp.runs.pictures.labels import every

LEFT, RIGHT = 76, 16  # for the layers themselves and their numbers; for the head's word
WIDTH: Final = 956
NARROWEST, WIDEST = 11.0, 46.0  # columns
HEIGHT: Final = 400  # of all rows, as far as they have a height to choose
LOWEST, HIGHEST = 4.0, 22.0  # rows
NAME_HEIGHT, GAP, FOOT = 24, 14, 26
CHARACTER: Final = 8.0  # of a name, at most
ENDS: Final = 16  # a row of embeddings or head, at least
AXIS, AXIS_MARGIN = 56, 18
LABEL_STEP, FOOT_STEP = 15, 22  # between two numbers beside rows, below columns, at least
NUMBERED_FROM: Final = 7.5  # radius of a mark that holds its layer's number
VALUES_FROM: Final = 32  # width of a column that holds its scale's value
REACH: Final = 0.5  # of scales around 1, at least


@dataclass(frozen=True)
class Layer:
    """One layer of a parent: the middle of its row, how often the route passes it, and its number where there is room."""

    y: float
    times: int
    label: int | None


@dataclass(frozen=True)
class Band:
    """A parent's layers between `top` and `bottom`. `sign` counts the parents from 1."""

    name: str
    sign: int
    name_y: float
    top: float
    bottom: float
    layers: list[Layer]


@dataclass(frozen=True)
class Axis:
    """Of the scales, in the middle a scale of 1: where it stands, and where the highest and the lowest."""

    top: float
    unity: float
    bottom: float
    high: float
    low: float


@dataclass(frozen=True)
class Stop:
    """One hop. `number` counts from 1; `move` says how the route comes here, `words` says all of it. Of two routes: `is_alone` when the
    other has no such hop, `differs` when it has one with another scale. `at_foot`: its number stands below.
    """

    number: int
    x: float
    y: float
    sign: int
    parent: str
    layer: int
    move: str
    scale: float
    scale_y: float
    words: str
    is_alone: bool
    differs: bool
    at_foot: bool


@dataclass(frozen=True)
class Route:
    """The picture: `line` is the whole way as an SVG path, from `start` to `end`, and `step` is a column's width, `row` a layer's height.

    Marks are circles of `radius` for the first parent, squares for others. `axis` is None when every scale is 1.
    """

    width: float
    height: float
    left: float
    step: float
    row: float
    bands: list[Band]
    stops: list[Stop]
    line: str
    start: tuple[float, float]
    end: tuple[float, float]
    axis: Axis | None
    sentence: str

    @property
    def radius(self) -> float:
        return round(min(10.0, max(2.5, 0.44 * min(1.6 * self.row, self.step))), 1)

    @property
    def square(self) -> str:
        """A mark around the origin, of about a circle's area."""
        half = round(0.9 * self.radius, 1)
        return f"M-{half} -{half}h{2 * half:g}v{2 * half:g}h-{2 * half:g}z"

    @property
    def is_numbered(self) -> bool:
        """Whether marks have room for their layers' numbers."""
        return self.radius >= NUMBERED_FROM

    @property
    def has_values(self) -> bool:
        """Whether columns have room for scales in figures."""
        return self.step >= VALUES_FROM

    @property
    def cell(self) -> float:
        """How thick a layer is drawn."""
        return round(self.row - 1.5, 2)

    @property
    def bar(self) -> float:
        """How wide a scale's bar is."""
        return round(min(14.0, 0.6 * self.step), 1)

    @property
    def foot(self) -> float:
        return round(self.height - 8, 1)


@dataclass(frozen=True)
class Way:
    """A path whose embeddings, final norm and head are those of the parent `ends`, counted as the hops count."""

    path: LayerPath
    ends: int = 0


def route(way: Way, names: Sequence[str], depths: Sequence[int]) -> Route:
    """The picture of a way through parents of these names and numbers of layers, in the order of its hops' numbers."""
    n = way.path.n_hops
    return _Draft(way, names, depths, range(n), n, _reach([way.path])).route()


def side_by_side(first: Way, second: Way, names: Sequence[str], depths: Sequence[int]) -> tuple[Route, Route]:
    """Both pictures with the same columns: hops that both routes have, in the same order, stand one above the other."""
    both = first.path, second.path
    pairs, reach = aligned(*both), _reach(both)
    differing = [pair for pair in pairs if _differ(*both, *pair)]
    made = []
    for side, way in enumerate((first, second)):
        columns = [column for column, pair in enumerate(pairs) if pair[side] is not None]
        alone = frozenset(pair[side] for pair in pairs if pair[1 - side] is None)
        other = frozenset(pair[side] for pair in differing)
        made.append(_Draft(way, names, depths, columns, len(pairs), reach, alone, other).route())
    return made[0], made[1]


def aligned(first: LayerPath, second: LayerPath) -> list[tuple[int | None, int | None]]:
    """Pairs of hops' numbers from 0: the longest common subsequence of layers, what only one route has between them.

    Hunt and Szymanski's problem by the plain table, [hops + 1, hops + 1]: for the longest paths milliseconds.
    """
    a, b = ([(hop.parent, hop.layer) for hop in path.hops] for path in (first, second))
    longest = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in reversed(range(len(a))):
        for j in reversed(range(len(b))):
            longest[i][j] = longest[i + 1][j + 1] + 1 if a[i] == b[j] else max(longest[i + 1][j], longest[i][j + 1])
    pairs: list[tuple[int | None, int | None]] = []
    i = j = 0
    while i < len(a) or j < len(b):
        if i < len(a) and j < len(b) and a[i] == b[j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif j == len(b) or (i < len(a) and longest[i + 1][j] >= longest[i][j + 1]):
            pairs.append((i, None))
            i += 1
        else:
            pairs.append((None, j))
            j += 1
    return pairs


def difference(first: LayerPath, second: LayerPath, names: tuple[str, str]) -> str:
    """What two routes have in common and where they differ, in a sentence; `names` are the candidates'."""
    pairs = aligned(first, second)
    n_common = sum(None not in pair for pair in pairs)
    words = [f"{counted(n_common, 'hop')} in common"]
    for side, name in enumerate(names):
        if n := sum(pair[1 - side] is None for pair in pairs):
            words.append(f"{counted(n, 'hop')} in {name} alone")
    if n := sum(_differ(first, second, *pair) for pair in pairs):
        words.append(f"other scales at {n} of the common ones")
    return f"{', '.join(words)}." if len(words) > 1 else "The same route with the same scales."


@dataclass(frozen=True)
class _Draft:
    """What a picture is made from: `columns` are the places of the hops among `n_columns`."""

    way: Way
    names: Sequence[str]
    depths: Sequence[int]
    columns: Sequence[int]
    n_columns: int
    reach: float
    alone: frozenset[int | None] = frozenset()
    differing: frozenset[int | None] = frozenset()

    @property
    def path(self) -> LayerPath:
        return self.way.path

    @property
    def row(self) -> float:
        return min(HIGHEST, max(LOWEST, HEIGHT / sum(self.depths)))

    @property
    def step(self) -> float:
        return min(WIDEST, max(NARROWEST, (WIDTH - LEFT - RIGHT) / (self.n_columns + 2)))

    @property
    def ends(self) -> float:
        """The height of a row of embeddings or head."""
        return max(ENDS, self.row)

    @cached_property
    def bands(self) -> list[Band]:
        """One below the other. One of them has room for its embeddings above and its head below."""
        times = Counter((hop.parent, hop.layer) for hop in self.path.hops)
        nth = every(self.row, LABEL_STEP)
        bands, at = [], 0.0
        for parent, (name, depth) in enumerate(zip(self.names, self.depths, strict=True)):
            ends = self.ends if parent == self.way.ends else 0.0
            top = at + NAME_HEIGHT + ends
            layers = [
                Layer(
                    y=round(top + (layer + 0.5) * self.row, 1),
                    times=times[parent, layer],
                    label=None if layer % nth else layer,
                )
                for layer in range(depth)
            ]
            bottom = top + depth * self.row
            bands.append(Band(name, parent + 1, round(at + 15, 1), round(top, 1), round(bottom, 1), layers))
            at = bottom + ends + GAP
        return bands

    @cached_property
    def axis(self) -> Axis | None:
        """Below the last band and its head."""
        if not self.reach:
            return None
        top = self._bottom + AXIS_MARGIN
        low, high = round(1 - self.reach, 3), round(1 + self.reach, 3)
        return Axis(round(top, 1), round(top + AXIS / 2, 1), round(top + AXIS, 1), high, low)

    def route(self) -> Route:
        own, hops = self.bands[self.way.ends], self.path.hops
        start = (self._x(-1), round(own.top - self.ends / 2, 1))
        end = (self._x(self.columns[-1] + 1), round(own.bottom + self.ends / 2, 1))
        points = [(self._x(column), self._y(hop)) for column, hop in zip(self.columns, hops, strict=True)]
        return Route(
            width=round(max(self._x(self.n_columns + 0.5) + RIGHT, CHARACTER * max(map(len, self.names))), 1),
            height=round((self.axis.bottom + AXIS_MARGIN if self.axis else self._bottom) + FOOT, 1),
            left=LEFT,
            step=round(self.step, 2),
            row=round(self.row, 2),
            bands=self.bands,
            stops=[self._stop(i, *point) for i, point in enumerate(points)],
            line=_line([start, *points, end]),
            start=start,
            end=end,
            axis=self.axis,
            sentence=self.path.sentence(self.names),
        )

    @property
    def _bottom(self) -> float:
        return self.bands[-1].bottom + (self.ends if self.way.ends == len(self.bands) - 1 else 0)

    def _x(self, column: float) -> float:
        return round(LEFT + (column + 1.5) * self.step, 1)

    def _y(self, hop: Hop) -> float:
        return self.bands[hop.parent].layers[hop.layer].y

    def _stop(self, i: int, x: float, y: float) -> Stop:
        hop = self.path.hops[i]
        away = (hop.scale - 1) / self.reach if self.reach else 0.0
        nth = every(self.step, FOOT_STEP)
        return Stop(
            number=i + 1,
            x=x,
            y=y,
            sign=hop.parent + 1,
            parent=self.names[hop.parent],
            layer=hop.layer,
            move=self._move(i),
            scale=hop.scale,
            scale_y=round(self.axis.unity - away * AXIS / 2, 1) if self.axis else 0.0,
            words=self._words(i),
            is_alone=i in self.alone,
            differs=i in self.differing,
            at_foot=(i + 1) % nth == 0 or (i == 0 and nth > 2),
        )

    def _move(self, i: int) -> str:
        """How the route comes to a hop."""
        if i == 0:
            return "first"
        before, hop = self.path.hops[i - 1], self.path.hops[i]
        if before.parent != hop.parent:
            return f"jumps to {self.names[hop.parent]}"
        ahead = hop.layer - before.layer
        if ahead > 1:
            return f"skips {counted(ahead - 1, 'layer')}"
        return {1: "next", 0: "again"}.get(ahead) or f"back by {counted(-ahead, 'layer')}"

    def _words(self, i: int) -> str:
        hop, move = self.path.hops[i], self._move(i)
        words = [f"Hop {i + 1} of {self.path.n_hops}: layer {hop.layer} of {self.names[hop.parent]}"]
        words += [move] if move not in ("first", "next") else []
        words += [f"its input times {hop.scale:.3g}"] if hop.scale != 1 else []
        words += ["not on the other route"] if i in self.alone else []
        words += ["another scale on the other route"] if i in self.differing else []
        return ", ".join(words)


def _differ(first: LayerPath, second: LayerPath, a: int | None, b: int | None) -> bool:
    """Whether a hop that both routes have is scaled otherwise, as far as that is shown."""
    return a is not None and b is not None and abs(first.hops[a].scale - second.hops[b].scale) >= 0.005


def _reach(paths: Iterable[LayerPath]) -> float:
    """How far the axis of scales goes away from 1; 0 when all are 1."""
    away = max(abs(scale - 1) for path in paths for scale in path.scales)
    return max(REACH, away) if away else 0.0


def _line(points: Sequence[tuple[float, float]]) -> str:
    """Level at every stop, and a bend between two."""
    words = [f"M{points[0][0]:g} {points[0][1]:g}"]
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = round((x0 + x1) / 2, 1)
        words.append(f"C{middle:g} {y0:g} {middle:g} {y1:g} {x1:g} {y1:g}")
    return "".join(words)
