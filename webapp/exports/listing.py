"""The list of downloads in rows and sums: those of one's own runs, and of runs that are shared with one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.contrib.auth.models import User
from django.db.models import Count, Q, QuerySet, Sum

from webapp.exports.models import Export
from webapp.leases import UNDER_WAY
from webapp.runs.models import Candidate
from webapp.sharing.access import editable_by, runs_of

PER_PAGE: Final = 25
SHOWN: Final = {"all": (), "building": UNDER_WAY, "ready": ("done",), "failed": ("failed",)}
"""States of exports, by the word that a page shows them under; none for all of them."""


@dataclass(frozen=True)
class Room:
    """What one's own downloads take: how many there are, and the bytes of those that are built."""

    n: int
    n_bytes: int


def visible_to(user: User) -> QuerySet[Export]:
    """The downloads that this person may see, newest first. For pages each says `is_own` and `may_edit`."""
    exports = Export.objects.filter(candidate__run__in=runs_of(user)).select_related("candidate__run__owner")
    is_own = Q(candidate__run__owner=user)
    return exports.annotate(is_own=is_own, may_edit=Q(candidate__run__in=editable_by(user).values("pk")))


def filtered(exports: QuerySet[Export], show: str) -> QuerySet[Export]:
    """Those under this word; a word that is none shows all."""
    states = SHOWN.get(show, ())
    return exports.filter(status__in=states) if states else exports


def room_of(user: User) -> Room:
    """As the quota counts: whatever was asked for of this person's runs."""
    taken = Export.objects.filter(owner=user, status__in=("done", *UNDER_WAY))
    sums = taken.aggregate(n=Count("pk"), n_bytes=Sum("n_bytes"))
    return Room(sums["n"], sums["n_bytes"] or 0)


def newest_winner(user: User) -> Candidate | None:
    """What there would be to build first: the winner of the run that has ended last."""
    ended = runs_of(user).exclude(winner=None).order_by("-ended").values("winner")[:1]
    return Candidate.objects.select_related("run").filter(pk__in=ended).first()
