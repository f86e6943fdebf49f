"""Which of many rows or columns of a picture have room for a number."""

from __future__ import annotations

from typing import Final

STEPS: Final = (1, 2, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100, 1000, 10_000)


def every(size: float, room: float) -> int:
    """Each so-manieth of rows or columns of this size is numbered, where a number takes so much room."""
    return next(n for n in STEPS if n * size >= room)
