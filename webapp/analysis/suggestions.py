"""What is worth comparing, for somebody who has chosen nothing yet. Reads rows only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef

from webapp.runs import listing
from webapp.runs.listing import Row
from webapp.runs.models import Candidate, Evaluation, Run
from webapp.sharing.access import runs_of

N_OFFERED: Final = 20


@dataclass(frozen=True)
class Suggestion:
    """A comparison: what it shows, and the words of its address."""

    title: str
    words: str
    query: str


def suggestions(user: User) -> list[Suggestion]:
    """Of the last runs that scored anything; none for somebody without such runs."""
    scored = Evaluation.objects.filter(run=OuterRef("pk"), split="search", status="done", candidate__kind="evolved")
    runs = runs_of(user).filter(Exists(scored))[:2]
    rows = [row for row in listing.rows(list(runs), with_curves=False) if row.best]
    found = []
    if rows and rows[0].best and rows[0].parent:
        pair = [rows[0].best.candidate, rows[0].parent.candidate]
        found.append(_of("The best and the best parent", f"of {rows[0].run.name}", pair))
    if len(rows) == 2:
        found.append(
            _of("The best of the last two runs", _named(rows), [row.best.candidate for row in rows if row.best])
        )
        query = urlencode([("run", row.run.pk) for row in rows])
        found.append(
            Suggestion("The last two runs", f"{_named(rows)}: how they went, and what was set otherwise", query)
        )
    return found


def other_runs(user: User, runs: Sequence[Run]) -> list[Run]:
    """The newest runs that are not among these."""
    return list(runs_of(user).exclude(pk__in=[run.pk for run in runs])[:N_OFFERED])


def _of(title: str, words: str, candidates: Sequence[Candidate]) -> Suggestion:
    return Suggestion(title, words, urlencode([("c", candidate.pk) for candidate in candidates]))


def _named(rows: Sequence[Row]) -> str:
    return " and ".join(row.run.name for row in rows)
