"""Scores over candidates in a terminal's characters: every candidate a dot of Braille, the best so far a line, generations' means rings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from webapp.client.series import Series

DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bits of a Braille character, by row and column."""
BRAILLE: Final = 0x2800
BEST, MEAN, PARENT = "━", "○", "╌"
STYLES: Final = {BEST: "bold green", MEAN: "yellow", PARENT: "cyan"}
MARGIN: Final = 7
"""Columns for the labels of the heights."""


@dataclass(frozen=True)
class Frame:
    """`width` and `height` in characters, and what they stand for."""

    width: int
    height: int
    last: int
    low: float
    high: float

    def x(self, number: float, per: int = 1) -> int:
        """The column of a candidate's number; `per` columns to a character."""
        share = (number - 1) / max(self.last - 1, 1)
        return min(int(share * self.width * per), self.width * per - 1)

    def y(self, score: float, per: int = 1) -> int:
        """The row of a score, from the top."""
        share = (self.high - score) / (self.high - self.low)
        return min(max(int(share * self.height * per), 0), self.height * per - 1)


def plot(series: Series, budget: int, parent: float | None, width: int, height: int) -> Text:
    """The picture, `width` columns and `height` rows and two below: the axis and what the signs mean."""
    scores = [score for _, score in series.dots] + ([parent] if parent is not None else [])
    low, high = _range(scores)
    frame = Frame(max(width - MARGIN - 1, 10), max(height, 4), max(budget, 2), low, high)
    cells = [[" "] * frame.width for _ in range(frame.height)]
    _draw_dots(cells, frame, series.dots)
    if parent is not None:
        cells[frame.y(parent)] = [PARENT if cell == " " else cell for cell in cells[frame.y(parent)]]
    for number, score in series.means:
        cells[frame.y(score)][frame.x(number)] = MEAN
    _draw_best(cells, frame, series)
    text = Text(no_wrap=True)
    for line in _lines(cells, frame):
        text.append_text(line)
    axis = f"1{f'{budget} candidates':>{frame.width - 1}}"
    text.append(f"{'':{MARGIN}}└{'─' * frame.width}\n{'':{MARGIN}} {axis}\n{'':{MARGIN}} ", "dim")
    for sign, words in ((BEST, "best"), (MEAN, "generation"), (PARENT, "best parent"), ("⠂", "candidate")):
        text.append(sign, STYLES.get(sign, "")).append(f" {words}  ", "dim")
    return text


def _range(scores: Sequence[float]) -> tuple[float, float]:
    """With some air; all of [0, 1] before anything is scored."""
    if not scores:
        return 0.0, 1.0
    low, high = min(scores), max(scores)
    air = max((high - low) * 0.05, 0.01)
    return max(low - air, 0.0), min(high + air, 1.0) if high < 1.0 else 1.0 + air


def _draw_dots(cells: list[list[str]], frame: Frame, dots: Sequence[tuple[int, float]]) -> None:
    bits: dict[tuple[int, int], int] = {}
    for number, score in dots:
        x, y = frame.x(number, per=2), frame.y(score, per=4)
        place = (y // 4, x // 2)
        bits[place] = bits.get(place, 0) | DOTS[y % 4][x % 2]
    for (row, column), found in bits.items():
        cells[row][column] = chr(BRAILLE + found)


def _draw_best(cells: list[list[str]], frame: Frame, series: Series) -> None:
    """Level from each best to the one that follows it, or to the latest candidate."""
    if not series.best:
        return
    ends = [*(number for number, _ in series.best[1:]), series.dots[-1][0]]
    for (number, score), end in zip(series.best, ends, strict=True):
        row = cells[frame.y(score)]
        for column in range(frame.x(number), frame.x(end) + 1):
            row[column] = BEST


def _lines(cells: list[list[str]], frame: Frame) -> Iterator[Text]:
    for row, line in enumerate(cells):
        is_labelled = row in (0, frame.height // 2, frame.height - 1)
        score = frame.high - (row + 0.5) / frame.height * (frame.high - frame.low)
        text = Text(f"{f'{score:.1%}' if is_labelled else '':>{MARGIN - 1}} │", "dim")
        for cell in line:
            text.append(cell, STYLES.get(cell, ""))
        yield text.append("\n")
