"""What of a leaderboard is shown, as its address says: filters, order, columns and page. What it does not know it passes over."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Self
from urllib.parse import urlencode

from django.http import QueryDict

from webapp.marks.queries import UNMARKED, Marked
from webapp.runs.board.field import Entry
from webapp.runs.models import CandidateKind

View = Literal["all", "pareto"]
KINDS: Final[tuple[CandidateKind, ...]] = ("evolved", "parent", "baseline")
COLUMNS: Final[Mapping[str, str]] = {
    "map": "Layers",
    "search": "Search",
    "parts": "Each benchmark",
    "validation": "Validation",
    "final": "Final",
    "health": "Answers",
    "size": "Size",
    "generation": "Generation",
    "age": "Scored",
    "marks": "Tags and notes",
}
"""The columns that may be chosen; rank, name and star always stand there."""
USUAL: Final = ("map", "search", "parts", "validation", "final", "health", "generation", "age")
MAX_TEXT: Final = 200
PART: Final = "part-"
_GENERATION: Final = re.compile("[0-9]{1,9}", re.ASCII)

UPWARDS: Final = ("rank", "name", "generation")
"""What rises when the best or first comes first; all else falls."""
Key = Callable[[Entry], Any]
"""What entries are sorted by, the best or newest first; None comes last either way."""
_KEYS: Final[Mapping[str, Key]] = {
    "rank": lambda entry: entry.place or None,
    "name": lambda entry: [int(part) if part.isdecimal() else part.lower() for part in re.split(r"(\d+)", entry.name)],
    "search": lambda entry: -entry.search.mean,
    "validation": lambda entry: -entry.validation.mean if entry.validation else None,
    "final": lambda entry: -entry.final.mean if entry.final else None,
    "generation": lambda entry: entry.generation,
    "age": lambda entry: -entry.finished.timestamp() if entry.finished else None,
}


@dataclass(frozen=True)
class BoardQuery:
    """The filters and the order. `sort` is a word of `sorts()`, with a minus in front for the opposite."""

    view: View = "all"
    kinds: tuple[str, ...] = ()
    first: int | None = None
    last: int | None = None
    is_healthy: bool = False
    is_starred: bool = False
    tag: str = ""
    text: str = ""
    sort: str = "rank"
    columns: tuple[str, ...] = USUAL
    page: int = 1

    @classmethod
    def of(cls, asked: QueryDict, n_parts: int = 0, usual: tuple[str, ...] = USUAL) -> Self:
        """What an address asks for, of a run with so many benchmarks beside each other; `usual` are its columns without a choice."""
        sort = asked.get("sort", "")
        return cls(
            view="pareto" if asked.get("view") == "pareto" and n_parts else "all",
            kinds=tuple(kind for kind in KINDS if kind in asked.getlist("kind")),
            first=_generation(asked.get("from", "")),
            last=_generation(asked.get("to", "")),
            is_healthy=asked.get("healthy") == "1",
            is_starred=asked.get("starred") == "1",
            tag=asked.get("tag", "").replace("\x00", "")[:MAX_TEXT],
            text=asked.get("q", "").replace("\x00", "").strip()[:MAX_TEXT],
            sort=sort if sort.removeprefix("-") in sorts(n_parts) else "rank",
            columns=tuple(name for name in COLUMNS if name in asked.getlist("col")) or usual,
            page=_generation(asked.get("page", "")) or 1,
        )

    @property
    def is_filtered(self) -> bool:
        """Whether rows are left out."""
        plain = BoardQuery(view=self.view, sort=self.sort, columns=self.columns, page=self.page)
        return self != plain

    @property
    def is_descending(self) -> bool:
        return self.sort.startswith("-")

    def address(self, usual: tuple[str, ...] = USUAL, **changes: Any) -> str:
        """The query string of this with `changes`; on the first page, unless they name one."""
        other = replace(self, **({"page": 1} | changes))
        columns = () if other.columns == usual else other.columns
        asked = [
            ("view", other.view if other.view != "all" else ""),
            *(("kind", kind) for kind in other.kinds),
            ("from", "" if other.first is None else str(other.first)),
            ("to", "" if other.last is None else str(other.last)),
            ("healthy", "1" if other.is_healthy else ""),
            ("starred", "1" if other.is_starred else ""),
            ("tag", other.tag),
            ("q", other.text),
            ("sort", other.sort if other.sort != "rank" else ""),
            *(("col", column) for column in columns),
            ("page", str(other.page) if other.page > 1 else ""),
        ]
        return urlencode([(name, value) for name, value in asked if value])

    def chosen(self, entries: Iterable[Entry], marks: Mapping[int, Marked]) -> list[Entry]:
        """The entries that pass the filters, in order; those without a place come last."""
        passed = [entry for entry in entries if self._passes(entry, marks.get(entry.pk, UNMARKED))]
        return [
            *self._sorted([entry for entry in passed if entry.place]),
            *self._sorted([entry for entry in passed if not entry.place]),
        ]

    def _passes(self, entry: Entry, marked: Marked) -> bool:
        return (
            (self.view == "all" or entry.is_front)
            and (not self.kinds or entry.kind in self.kinds)
            and self._is_of_time(entry.generation)
            and (entry.is_healthy or not self.is_healthy)
            and (marked.n_stars > 0 or not self.is_starred)
            and (not self.tag or self.tag in marked.tags)
            and (not self.text or self._has_words(entry, marked))
        )

    def _is_of_time(self, generation: int | None) -> bool:
        """Parents and baselines have no generation: they pass where none is asked for."""
        if self.first is None and self.last is None:
            return True
        return (
            generation is not None
            and (self.first or 0) <= generation
            and (self.last is None or generation <= self.last)
        )

    def _has_words(self, entry: Entry, marked: Marked) -> bool:
        words = self.text.lower()
        return words in entry.name.lower() or any(words in mark.note.lower() for mark in marked.marks)

    def _sorted(self, entries: list[Entry]) -> list[Entry]:
        key = _key(self.sort.removeprefix("-"))
        known, unknown = _parted(entries, lambda entry: key(entry) is not None)
        return [*sorted(known, key=key, reverse=self.is_descending), *unknown]


def sorts(n_parts: int) -> dict[str, str]:
    """What may be sorted by, in words; the benchmarks of a run with several have words of their own."""
    words = {
        "rank": "Rank",
        "name": "Name",
        "search": "Search score",
        "validation": "Validation score",
        "final": "Final score",
        "generation": "Generation",
        "age": "Newest",
    }
    return words | {f"{PART}{i}": f"Benchmark {i + 1}" for i in range(n_parts)}


def _key(sort: str) -> Key:
    if sort.startswith(PART):
        number = int(sort.removeprefix(PART))
        return lambda entry: -entry.parts[number] if entry.parts else None
    return _KEYS[sort]


def _parted(entries: Sequence[Entry], test: Callable[[Entry], bool]) -> tuple[list[Entry], list[Entry]]:
    return [e for e in entries if test(e)], [e for e in entries if not test(e)]


def _generation(text: str) -> int | None:
    return int(text) if _GENERATION.fullmatch(text) else None
