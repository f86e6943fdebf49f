"""Bars from a line of zero, each with its interval, as a picture: geometry in pixels, which the template draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from webapp.runs.pictures.labels import every

LEFT, RIGHT = 52, 12  # for the scale
WIDTH: Final = 956
NARROWEST, WIDEST = 11.0, 44.0  # columns
TOP, HEIGHT, FOOT = 18, 150, 28
LABEL_STEP: Final = 22  # between two numbers below columns, at least
VALUES_FROM: Final = 36  # width of a column that holds its value
TICKS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
N_TICKS: Final = 6
LEAST: Final = 0.05  # what the scale reaches, at least


class Difference(Protocol):
    """Whatever is more or less than zero, with its interval."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


@dataclass(frozen=True)
class Bar:
    """Where a bar stands, from `top` on as high as `height`, and where its interval ends; nothing of the kind where nothing is known."""

    x: float
    left: float
    top: float
    height: float
    low_y: float
    high_y: float
    value_y: float
    is_labelled: bool


@dataclass(frozen=True)
class Tick:
    """A line of the scale."""

    y: float
    value: float

    @property
    def points(self) -> str:
        """`+20`, `−5`, `0`."""
        return f"{round(100 * self.value):+d}".replace("-", "−") if self.value else "0"


@dataclass(frozen=True)
class Picture:
    """The bars on one scale; `zero` is where its zero stands."""

    width: float
    height: float
    left: float
    step: float
    thick: float
    zero: float
    bars: list[Bar]
    ticks: list[Tick]

    @property
    def foot(self) -> float:
        return self.height - 8

    @property
    def has_values(self) -> bool:
        """Whether columns have room for values in figures."""
        return self.step >= VALUES_FROM


def picture(differences: Sequence[Difference | None], numbers: Sequence[int]) -> Picture:
    """A column for each difference, with its number below where there is room."""
    known = [found for found in differences if found]
    high = max([LEAST, *(found.high for found in known)])
    low = min([0.0, *(found.low for found in known)])
    step = min(WIDEST, max(NARROWEST, (WIDTH - LEFT - RIGHT) / len(differences)))
    nth = every(step, LABEL_STEP)
    thick = round(min(22.0, 0.62 * step), 1)

    def y(value: float) -> float:
        return round(TOP + HEIGHT * (high - value) / (high - low), 1)

    def bar(i: int, found: Difference | None) -> Bar:
        x = LEFT + (i + 0.5) * step
        value, ends = (found.value, (found.low, found.high)) if found else (0.0, (0.0, 0.0))
        return Bar(
            x=round(x, 1),
            left=round(x - thick / 2, 1),
            top=y(max(0.0, value)),
            height=round(abs(y(0.0) - y(value)), 1),
            low_y=y(ends[0]),
            high_y=y(ends[1]),
            value_y=y(max(0.0, ends[1])) - 7,
            is_labelled=numbers[i] % nth == 0,
        )

    spacing = next(tick for tick in TICKS if (high - low) / tick <= N_TICKS)
    counts = range(int(low / spacing - 0.999), int(high / spacing) + 1)
    return Picture(
        width=round(LEFT + len(differences) * step + RIGHT, 1),
        height=TOP + HEIGHT + FOOT,
        left=LEFT,
        step=round(step, 2),
        thick=thick,
        zero=y(0.0),
        bars=[bar(i, found) for i, found in enumerate(differences)],
        ticks=[Tick(y(n * spacing), n * spacing) for n in counts if low <= n * spacing <= high],
    )
