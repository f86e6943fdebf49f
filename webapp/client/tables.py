"""Numbers and lists as a terminal shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from webapp.client.server import plain

ENDED: Final = ("done", "stopped", "failed")
SHORT: Final = 8
"""Of an id: as much as tells runs apart."""


def runs_table(runs: Iterable[Mapping[str, Any]]) -> Table:
    """One line a run."""
    table = Table("id", "name", "state", "scored", "best", "gain", "left", box=None, pad_edge=False)
    for run in runs:
        best = run["best"]
        table.add_row(
            run["id"][:SHORT],
            Text(plain(run["name"])),
            run["state"],
            f"{run['n_scored']}/{run['budget']}",
            share(best["result"]["mean"]) if best else "",
            gain(run["gain"]) if run["gain"] else "",
            duration(run["seconds_left"]) if run["seconds_left"] else "",
        )
    return table


def share(value: float) -> str:
    """`41.5 %`."""
    return f"{100 * value:.1f} %"


def gain(interval: Mapping[str, float]) -> str:
    """`+2.0 [-1.0, +5.0] points`."""
    value, low, high = (100 * interval[name] for name in ("value", "low", "high"))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}] points"


def duration(seconds: float) -> str:
    """`1 h 05 min`, `4 min`, `20 s`."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"


def size(n_bytes: int) -> str:
    """`1.2 GB`, `340 MB`, `12 kB`."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= factor:
            return f"{n_bytes / factor:.1f} {unit}"
    return f"{n_bytes / 1e3:.0f} kB"
