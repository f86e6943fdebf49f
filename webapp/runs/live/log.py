"""What happened in a run, in plain sentences, newest first: the events of the outbox, and between them the attempts that ended without a
result, of which the outbox does not tell. Reads rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Final, Literal

from webapp.runs.live.notes import asked_on, without_result, words
from webapp.runs.models import Candidate, Event, Run
from webapp.system.templatetags.figures import percent

PER_PAGE: Final = 40
SCORE: Final = "evaluation.done"
"""The events of which there are most: a page leaves them out unless everything is asked for."""

Level = Literal["info", "warning", "error"]
_STATES: Final[dict[str, tuple[Level, str]]] = {
    "queued": ("info", "It waits for a worker."),
    "running": ("info", "It runs."),
    "pausing": ("info", "It pauses: what is being computed still counts."),
    "paused": ("info", "It is paused."),
    "finishing": ("info", "The search is over. The final exam begins."),
    "done": ("info", "It is done."),
    "stopped": ("info", "It was stopped."),
    "failed": ("error", "It failed."),
}
_RESUMED: Final[tuple[Level, str]] = ("info", "It goes on.")


@dataclass(frozen=True)
class Entry:
    """One line. `key` is its own within the run; `detail` says more, `candidate` is whom it is about."""

    key: str
    at: datetime
    level: Level
    sentence: str
    detail: str = ""
    candidate: int | None = None


@dataclass(frozen=True)
class Page:
    """A page of the log. `older` is the number to ask for what comes before it; None at the beginning of the run."""

    entries: list[Entry]
    older: int | None


def page(run: Run, before: int | None, everything: bool) -> Page:
    """The newest entries of a run, or those before the event number `before`: four queries at most, however long it is."""
    told = Event.objects.filter(run=run)
    if before is not None:
        told = told.filter(seq__lt=before)
    if not everything:
        told = told.exclude(kind=SCORE)
    rows = list(told.order_by("-seq")[: PER_PAGE + 1])
    shown, has_older = rows[:PER_PAGE], len(rows) > PER_PAGE
    names, resumed = _winners(shown), _resumed(run, shown)
    entries = [_entry(row, names, resumed) for row in shown]
    since = shown[-1].created if has_older else None
    until = shown[0].created if before is not None and shown else None
    entries += _without_result(run, since, until)
    return Page(sorted(entries, key=lambda entry: entry.at, reverse=True), shown[-1].seq if has_older else None)


def _winners(shown: Sequence[Event]) -> dict[int, str]:
    """The names of the candidates that these events call winners."""
    keys = [row.payload["candidate"] for row in shown if row.kind == "run.winner"]
    return dict(Candidate.objects.filter(pk__in=keys).values_list("pk", "name")) if keys else {}


def _resumed(run: Run, shown: Sequence[Event]) -> set[int]:
    """Of the events that say that it runs, those before which it had been running already."""
    running = {row.seq for row in shown if row.payload.get("state") == "running"}
    if not running:
        return set()
    states = Event.objects.filter(run=run, kind="run.state", seq__lte=max(running)).order_by("-seq")
    rows = list(states.values_list("seq", "payload__state")[: 2 * PER_PAGE])
    return {seq for (seq, _), (_, before) in pairwise(rows) if seq in running and before != "queued"}


def _entry(event: Event, winners: Mapping[int, str], resumed: Collection[int]) -> Entry:
    level, sentence, detail = _said(event, winners, event.seq in resumed)
    about = event.payload.get("candidate")
    return Entry(str(event.seq), event.created, level, sentence, detail, about)


def _said(event: Event, winners: Mapping[int, str], is_resumed: bool) -> tuple[Level, str, str]:
    told: dict[str, Any] = event.payload
    if event.kind == "run.state":
        return _of_state(told, is_resumed)
    if event.kind == "run.winner":
        return "info", f"{winners.get(told['candidate'], 'A candidate')} is the winner.", ""
    if event.kind == "generation.opened":
        return "info", f"Generation {told['number']} begins with {told['n_candidates']} candidates.", _sigma(told)
    if event.kind == "generation.closed":
        return ("info", *_of_closed(told))
    if event.kind == "evaluation.failed":
        level: Level = "warning" if told["kind"] == "evolved" else "error"
        return (
            level,
            f"{told['name']} failed on the {told['split']} questions: {words(told['failure_kind'])}.",
            told["failure"],
        )
    between = f"{percent(told['mean'])} [{percent(told['low'])}, {percent(told['high'])}]"
    return "info", f"{told['name']} scored {between} on {told['n']} {asked_on(told['split'])} questions.", ""


def _of_state(told: dict[str, Any], is_resumed: bool) -> tuple[Level, str, str]:
    level, sentence = _RESUMED if is_resumed else _STATES[told["state"]]
    return ("warning" if told["message"] and level == "info" else level), sentence, told["message"]


def _of_closed(told: dict[str, Any]) -> tuple[str, str]:
    if told["best"] is None:
        return f"Generation {told['number']} ends without a score.", ""
    return f"Generation {told['number']} ends.", f"Fitness: best {told['best']:.4g}, mean {told['mean']:.4g}."


def _sigma(told: dict[str, Any]) -> str:
    return "" if told.get("sigma") is None else f"Step size {told['sigma']:.3g}."


def _without_result(run: Run, since: datetime | None, until: datetime | None) -> list[Entry]:
    """Attempts that ended without a result in this time."""
    ended = without_result(run)
    if since is not None:
        ended = ended.filter(ended__gte=since)
    if until is not None:
        ended = ended.filter(ended__lt=until)
    rows = ended.order_by("-ended").values_list(
        "token", "ended", "worker", "outcome", "error", "evaluation__candidate", "evaluation__candidate__name"
    )
    return [
        Entry(f"a{token}", at, "warning", _lost_words(outcome, worker, name), error, candidate)
        for token, at, worker, outcome, error, candidate, name in rows[:PER_PAGE]
        if at
    ]


def _lost_words(outcome: str, worker: str, name: str) -> str:
    return f"{worker} {'got no further with' if outcome == 'hung' else 'was lost with'} {name}."
