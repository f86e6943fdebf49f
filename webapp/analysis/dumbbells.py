"""Scores as a picture: a line for every benchmark, on it a lettered dot for every model, and below it the dots' intervals.

Computes geometry in pixels; the template draws it. The table of scores says the same in numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from webapp.analysis.scores import Table
from webapp.system.templatetags.figures import percent

WIDTH: Final = 640
LEFT, RIGHT = 16, 16
NAME_HEIGHT, DOTS_HEIGHT, INTERVAL_STEP, FOOT = 22, 26, 6, 22
RADIUS: Final = 9
STEP: Final = 0.1
"""The scale begins and ends at a multiple of this."""


@dataclass(frozen=True)
class Dot:
    """A model's mean on one benchmark, and its interval from `low` to `high` at the height `y_interval`."""

    letter: str
    sign: int
    x: float
    y: float
    low: float
    high: float
    y_interval: float
    words: str


@dataclass(frozen=True)
class Dumbbell:
    """One benchmark: its dots, and the line from the lowest to the highest of them."""

    name: str
    name_y: float
    y: float
    dots: list[Dot]

    @property
    def ends(self) -> tuple[float, float]:
        return min(dot.x for dot in self.dots), max(dot.x for dot in self.dots)


@dataclass(frozen=True)
class Picture:
    """All benchmarks on one scale; `ticks` are places and shares."""

    height: float
    bells: list[Dumbbell]
    ticks: list[tuple[float, float]]
    width: float = WIDTH

    @property
    def bottom(self) -> float:
        return self.height - FOOT


def picture(table: Table, split: str) -> Picture | None:
    """The scores on one split; None where nothing was scored there."""
    rows = [(line.side, cell) for line in table.lines if (cell := line.cell(split)) and cell.is_done]
    scores = [part.score for _, cell in rows for part in cell.parts.values()]
    if not scores:
        return None
    low = STEP * math.floor(min(score.low for score in scores) / STEP + 1e-9)
    high = STEP * math.ceil(max(score.high for score in scores) / STEP - 1e-9)

    def x(share: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (share - low) / (high - low), 1)

    bells, at = [], 0.0
    for digest, name in table.benchmarks(split).items():
        of_it = [(side, cell.parts[digest].score) for side, cell in rows if digest in cell.parts]
        y = at + NAME_HEIGHT + DOTS_HEIGHT / 2
        places = _apart([x(score.mean) for _, score in of_it])
        dots = [
            Dot(
                letter=side.letter,
                sign=side.sign,
                x=place,
                y=y,
                low=x(score.low),
                high=x(score.high),
                y_interval=y + DOTS_HEIGHT / 2 + INTERVAL_STEP * (i + 0.5),
                words=f"{side.letter} {percent(score.mean)}",
            )
            for i, ((side, score), place) in enumerate(zip(of_it, places, strict=True))
        ]
        bells.append(Dumbbell(name, at + 14, y, dots))
        at = y + DOTS_HEIGHT / 2 + INTERVAL_STEP * len(dots) + 8
    n_ticks = round((high - low) / STEP)
    nth = 1 if n_ticks <= 5 else 2
    ticks = [(x(low + STEP * i), low + STEP * i) for i in range(0, n_ticks + 1, nth)]
    return Picture(round(at + FOOT, 1), bells, ticks)


def _apart(places: Sequence[float]) -> list[float]:
    """These places, moved to the right as far as it takes that no dot hides another, and back where they would leave the picture."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    for before, after in pairwise(order):
        moved[after] = max(moved[after], moved[before] + 1.5 * RADIUS)
    beyond = max(0.0, max(moved) - (WIDTH - RADIUS))
    return [round(max(place - beyond, RADIUS), 1) for place in moved]
