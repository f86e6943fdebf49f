"""Names for things that plug in: methods, searches, families, benchmarks, scorers.

One file adds one entry; whoever lists the registry finds it. Knows nothing of what it holds.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Generic, TypeVar

from merging.errors import MergingError, UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """Entries by name, in order of registration. `noun` is what an entry is called in errors."""

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self._items: dict[str, T] = {}

    def register(self, name: str, item: T) -> T:
        """Adds `item` and returns it. A name twice is a MergingError."""
        if name in self._items:
            raise MergingError(f"there are two {self.noun}s named {name!r}: choose another name for one of them")
        self._items[name] = item
        return item

    def get(self, name: str) -> T:
        """The entry of that name; UnknownNameError lists the known names and the nearest."""
        if name not in self._items:
            raise UnknownNameError(self.noun, name, self._items)
        return self._items[name]

    def names(self) -> tuple[str, ...]:
        return tuple(self._items)

    def __iter__(self) -> Iterator[T]:
        return iter(self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, name: object) -> bool:
        return name in self._items


def plugins(package: str) -> Iterator[ModuleType]:
    """Every module of a package, imported, by name: what makes one new file enough for one new entry."""
    found = importlib.import_module(package)
    for module in sorted(pkgutil.iter_modules(found.__path__), key=lambda module: module.name):
        yield importlib.import_module(f"{package}.{module.name}")
