"""Plain JSON values: one canonical form for digests, and readers that refuse what has the wrong shape.

Every reader takes `what`, the name of the value in messages, and the kind of error to raise. Knows nothing of recipes
or benchmarks.
"""

from __future__ import annotations

import hashlib
import json
import math
import reprlib
from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

from merging.errors import MergingError

T = TypeVar("T")
Kind = type[MergingError]


def canonical(value: object) -> str:
    """One text for one value: keys sorted, no spaces, no NaN, floats by their shortest exact form."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: object) -> str:
    """sha256 of the canonical form: `sha256:` and 64 hex digits."""
    return "sha256:" + hashlib.sha256(canonical(value).encode()).hexdigest()


def unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """For `object_pairs_hook` of `json`, which otherwise keeps the last of two equal keys in silence; raises ValueError."""
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} comes twice")
        found[key] = value
    return found


def fields(value: object, names: Collection[str], what: str, error: Kind) -> Mapping[str, object]:
    """A mapping with exactly these keys; missing and unknown ones are named."""
    found = mapping(value, what, error)
    missing, unknown = sorted(set(names) - set(found)), sorted(set(found) - set(names))
    if missing or unknown:
        parts = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has unknown {', '.join(unknown)}"] * bool(unknown)
        raise error(f"{what} {' and '.join(parts)}; expected the fields {', '.join(names)}")
    return found


def mapping(value: object, what: str, error: Kind) -> Mapping[str, object]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise error(f"{what} is {show(value)}; expected an object with named fields")
    return value


def items(value: object, what: str, error: Kind, read: Callable[[object, str], T]) -> tuple[T, ...]:
    """A list, each item read by `read(item, name of the item)`."""
    if not isinstance(value, list | tuple):
        raise error(f"{what} is {show(value)}; expected a list")
    return tuple(read(item, f"{what}[{i}]") for i, item in enumerate(value))


def text(value: object, what: str, error: Kind) -> str:
    if not isinstance(value, str):
        raise error(f"{what} is {show(value)}; expected text")
    return value


def optional_text(value: object, what: str, error: Kind) -> str | None:
    return None if value is None else text(value, what, error)


def integer(value: object, what: str, error: Kind) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise error(f"{what} is {show(value)}; expected a whole number")
    return value


def real(value: object, what: str, error: Kind) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise error(f"{what} is {show(value)}; expected a finite number")
    try:
        found = float(value)  # a whole number may have more digits than fit
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise error(f"{what} is {show(value)}; expected a finite number")
    return found


def optional_real(value: object, what: str, error: Kind) -> float | None:
    return None if value is None else real(value, what, error)


def flag(value: object, what: str, error: Kind) -> bool:
    if not isinstance(value, bool):
        raise error(f"{what} is {show(value)}; expected true or false")
    return value


def show(value: object) -> str:
    """Short even where values repeat each other without end, as aliases in YAML can."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring = 2, 60
    shown = short.repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
