"""A leaderboard as a file: CSV for tables, JSON for programs, a piece at a time."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from webapp.marks.queries import UNMARKED, Marked
from webapp.runs.board.field import Entry, Result

PIECE: Final = 500
"""Rows that are sent together."""
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""How a cell begins that a table might compute."""
Column = Callable[[Entry], Any]


@dataclass(frozen=True)
class Sheet:
    """Entries with everything known of them. `ranks` are of those that were tested, `benchmarks` a run's names where it has several: any
    words, so their columns are told from all others, and from each other, by a number.
    """

    entries: Sequence[Entry]
    ranks: Mapping[int, str]
    marks: Mapping[int, Marked]
    benchmarks: Sequence[str]

    def columns(self) -> dict[str, Column]:
        """By name, what a column has of an entry: None for what is not known, which is never zero."""
        return {
            "place": lambda entry: entry.place or None,
            "rank": lambda entry: self.ranks.get(entry.pk),
            "candidate": lambda entry: entry.name,
            "kind": lambda entry: entry.kind,
            "generation": lambda entry: entry.generation,
            "fitness": lambda entry: entry.fitness,
            **_of_result("search", lambda entry: entry.search),
            "search_is_estimate": lambda entry: entry.search.is_estimate,
            **{f"search_{i + 1}_{name}": _part(i) for i, name in enumerate(self.benchmarks)},
            **_of_result("validation", lambda entry: entry.validation),
            **_of_result("final", lambda entry: entry.final),
            "answers_can_be_trusted": lambda entry: entry.is_healthy,
            **({"is_pareto": lambda entry: entry.is_front} if self.benchmarks else {}),
            "scored": lambda entry: entry.finished.isoformat() if entry.finished else None,
            "stars": lambda entry: self._marked(entry).n_stars,
            "tags": lambda entry: self._marked(entry).tags,
            "notes": lambda entry: [mark.note for mark in self._marked(entry).notes],
            "id": lambda entry: entry.pk,
        }

    def pieces(self) -> Iterator[list[list[Any]]]:
        """The rows, some at a time."""
        columns = list(self.columns().values())
        for start in range(0, len(self.entries), PIECE):
            yield [[column(entry) for column in columns] for entry in self.entries[start : start + PIECE]]

    def _marked(self, entry: Entry) -> Marked:
        return self.marks.get(entry.pk, UNMARKED)


async def as_csv(sheet: Sheet) -> AsyncIterator[str]:
    """Comma-separated below a line of names. Lists have semicolons; what would be a formula begins with an apostrophe."""
    yield _written([list(sheet.columns())])
    for rows in sheet.pieces():
        yield _written(rows)


async def as_json(sheet: Sheet, about: Mapping[str, Any]) -> AsyncIterator[str]:
    """One object: what it is `about`, and the candidates as a list."""
    names = list(sheet.columns())
    yield json.dumps(dict(about), ensure_ascii=False)[:-1] + ', "candidates": [\n'
    comma = ""
    for rows in sheet.pieces():
        yield comma + ",\n".join(json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) for row in rows)
        comma = ",\n"
    yield "\n]}\n"


def _of_result(name: str, of: Callable[[Entry], Result | None]) -> dict[str, Column]:
    """A score on a split, its interval and its number of samples."""

    def column(field: str) -> Column:
        return lambda entry: getattr(of(entry), field, None)

    return {name: column("mean"), **{f"{name}_{field}": column(field) for field in ("low", "high", "n")}}


def _part(i: int) -> Column:
    return lambda entry: entry.parts[i] if entry.parts else None


def _written(rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([[_cell(value) for value in row] for row in rows])
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        value = "; ".join(value)
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
