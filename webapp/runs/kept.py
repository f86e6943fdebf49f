"""What was read once and never changes is kept in memory, so many of a kind at most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Key = TypeVar("Key")
T = TypeVar("T")


def keep(kept: dict[Key, T], found: Mapping[Key, T], most: int) -> None:
    """Add to `kept` what was found, and forget what is beyond `most`, the oldest first. Threads may do so at the same time."""
    kept.update(found)
    for key in list(kept)[: max(0, len(kept) - most)]:
        kept.pop(key, None)
