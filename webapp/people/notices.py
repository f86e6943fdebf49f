"""What has happened to one's runs and exports, newest first, and whether it was after one looked. Nothing is written for it: what ended,
paused or is built says so itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import nlargest
from typing import Final, Literal

from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from webapp.people import happenings
from webapp.people.models import Seen

N_KEPT: Final = 30
LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
WORDS: Final = {"done": "is done", "stopped": "was stopped", "failed": "failed"}
Tone = Literal["good", "warn", "bad"]
GOOD: Final[Tone] = "good"
BAD: Final[Tone] = "bad"
TONES: Final[dict[str, Tone]] = {"done": GOOD, "stopped": "warn", "failed": BAD}


@dataclass(frozen=True)
class Notice:
    """`what` happened to `name`, and where one sees more; `detail` is what it said itself."""

    at: datetime
    name: str
    what: str
    detail: str
    page: str
    tone: Tone
    is_new: bool


def notices(user: User) -> list[Notice]:
    """The newest of them."""
    seen = Seen.objects.filter(user=user).values_list("until", flat=True).first() or LONG_AGO
    return nlargest(N_KEPT, [*_runs(user, seen), *_paused(user, seen), *_exports(user, seen)], key=lambda one: one.at)


def look(user: User) -> None:
    """What there is now is new no more."""
    Seen.objects.update_or_create(user=user, defaults={"until": timezone.now()})


def _runs(user: User, seen: datetime) -> Iterator[Notice]:
    for run in happenings.ended(user.pk).order_by("-ended").only("name", "state", "message", "ended")[:N_KEPT]:
        at, page = run.ended or LONG_AGO, reverse("runs:detail", args=[run.pk])
        yield Notice(at, run.name, WORDS[run.state], run.message, page, TONES[run.state], at > seen)


def _paused(user: User, seen: datetime) -> Iterator[Notice]:
    for pk, name, message, at in happenings.paused(user.pk).values_list("pk", "name", "message", "at")[:N_KEPT]:
        if at:
            yield Notice(at, name, "has paused", message, reverse("runs:detail", args=[pk]), "warn", at > seen)


def _exports(user: User, seen: datetime) -> Iterator[Notice]:
    for row in happenings.exported(user.pk).select_related("candidate__run").order_by("-finished")[:N_KEPT]:
        run, at = row.candidate.run, row.finished or LONG_AGO
        page = f"{reverse('runs:candidate', args=[run.pk, row.candidate_id])}#download"
        name = f"{row.candidate} of {run}, {row.title}"
        is_built = row.status == "done"
        what, tone = ("is built", GOOD) if is_built else ("could not be built", BAD)
        yield Notice(at, name, what, row.failure, page, tone, at > seen)
