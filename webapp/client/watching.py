"""Following a run until it ends, whatever happens to the line or the server meanwhile."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import Any, Final

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from webapp.client.plot import plot
from webapp.client.series import Series
from webapp.client.server import AwayError, Server, plain
from webapp.client.tables import ENDED, duration, gain, share

SECONDS: Final = 2.0
LONGEST: Final = 15.0
"""Between two tries while the server is away."""
EVENTS: Final = 1000
MAX_ROWS: Final = 24
FRAME: Final = 8
"""Rows that are not the plot's."""


def watch(server: Server, run_id: str, console: Console, seconds: float = SECONDS) -> dict[str, Any]:
    """Show the run until it has ended; its last state. On no terminal a line for everything new."""
    series, run, wait = Series(), server.get(f"/runs/{run_id}"), seconds
    shown = Live(console=console, auto_refresh=False) if console.is_terminal else nullcontext()
    with shown as live:
        while True:
            away = ""
            before = (run["state"], len(series.best))
            try:
                run = server.get(f"/runs/{run_id}")
                _catch_up(server, run_id, series)
                wait = seconds
            except AwayError as error:
                away, wait = str(error), min(2 * wait, LONGEST)
            if live:
                live.update(picture(run, series, away, console), refresh=True)
            elif away or (run["state"], len(series.best)) != before:
                console.print(Text(away or line(run)))
            if run["state"] in ENDED and not away and series.seq >= run["seq"]:
                return dict(run)
            time.sleep(wait)


def picture(run: dict[str, Any], series: Series, away: str, console: Console) -> Group:
    """The head, the plot, and what is to be said of the line."""
    parent = run["best_parent"]
    drawn = plot(
        series,
        run["budget"],
        parent["result"]["mean"] if parent and parent["split"] == "search" else None,
        console.width - 1,
        min(max(console.height - FRAME, 6), MAX_ROWS),
    )
    last = Text(f"{away}; asking again" if away else plain(run["message"]), "yellow" if away else "")
    return Group(Text(plain(run["name"]), "bold"), Text(line(run)), drawn, last)


def line(run: dict[str, Any]) -> str:
    """How far, how good, how long still."""
    best = run["best"]
    found = [run["state"], f"{run['n_scored']} of {run['budget']} candidates"]
    if best:
        found.append(f"best {share(best['result']['mean'])} on {best['split']} ({plain(best['name'])})")
    if run["gain"]:
        found.append(f"{gain(run['gain'])} over the best parent")
    if run["seconds_left"]:
        found.append(f"{duration(run['seconds_left'])} left")
    return ", ".join(found)


def _catch_up(server: Server, run_id: str, series: Series) -> None:
    while True:
        page = server.get(f"/runs/{run_id}/events", after=series.seq, limit=EVENTS)
        series.take(page["items"])
        if series.seq >= page["newest"] or not page["items"]:
            return
