"""What takes room here, and what can go: downloads that were built long ago and that nobody needs. They can be built again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.db.models import Count, Sum
from django.db.models.functions import Now

from merging.words import counted
from webapp.exports.actions import kept_by_policy, remove_export, whys_kept
from webapp.exports.models import Export
from webapp.hub.places import PREFIX, cached, common_cache
from webapp.hub.removals import is_ours, our_models
from webapp.library.models import Parent

WALK_SECONDS: Final = 60
"""How long the size of a folder serves before it is reckoned anew."""
MOST_AT_ONCE: Final = 100
_RESULTS: Final = ("runs_candidate", "runs_evaluation", "runs_score", "runs_outcomes", "runs_event", "runs_attempt")


@dataclass(frozen=True)
class Room:
    """One thing that takes room, and where it lies."""

    name: str
    n_bytes: int
    what: str
    where: str


@dataclass(frozen=True)
class Reclaim:
    """Downloads built more than `days` ago: the oldest that can go, as many as go at once, and how many were found on the way that are
    needed and kept. Those of winners and of starred candidates are not looked at. `is_all`: no others are so old.
    """

    days: int
    exports: Sequence[Export]
    n_kept: int
    is_all: bool

    @property
    def n_bytes(self) -> int:
        return sum(export.n_bytes or 0 for export in self.exports)


def rooms() -> list[Room]:
    """All that takes room, folders as of a minute ago at most."""
    return [_exports(), _fetched(), *_folders(), *_database(), _parents(), *_existing_cache()]


def reclaimable(days: int) -> Reclaim:
    """What `reclaim` would remove now. Changes nothing."""
    old = Export.objects.filter(status="done", finished__lt=Now() - timedelta(days=days)).exclude(
        candidate__in=kept_by_policy()
    )
    found = list(old.select_related("candidate").defer("candidate__recipe", "candidate__genome").order_by("finished"))
    going: list[Export] = []
    n_kept = 0
    for start in range(0, len(found), MOST_AT_ONCE):
        looked_at = found[start : start + MOST_AT_ONCE]
        kept = whys_kept(looked_at)
        going += [export for export in looked_at if export.pk not in kept]
        n_kept += len(kept)
        if len(going) >= MOST_AT_ONCE:
            break
    is_all = len(going) <= MOST_AT_ONCE and len(found) == len(going) + n_kept
    return Reclaim(days, going[:MOST_AT_ONCE], n_kept, is_all)


def reclaim(days: int) -> Reclaim:
    """Remove them, each unless somebody has come to need it meanwhile. What has gone."""
    planned = reclaimable(days)
    gone = [export for export in planned.exports if not remove_export(export)]
    return Reclaim(days, gone, planned.n_kept + len(planned.exports) - len(gone), planned.is_all)


def _exports() -> Room:
    sums = Export.objects.filter(status="done").aggregate(n=Count("pk"), n_bytes=Sum("n_bytes"))
    what = f"{counted(sums['n'], 'merged model')} for download and as parents"
    return Room("Exports", sums["n_bytes"] or 0, what, str(_data() / "exports"))


def _parents() -> Room:
    """Each folder once, however many people have registered it."""
    folders = dict(Parent.objects.filter(hidden_at=None).values_list("folder", "n_bytes"))
    ours = (_data(), common_cache())
    outside = {folder: n for folder, n in folders.items() if not any(Path(folder).is_relative_to(one) for one in ours)}
    what = f"{counted(len(outside), 'folder')} that were registered; Progeny never writes or removes there"
    return Room("Parents", sum(outside.values()), what, "where they were registered")


def _fetched() -> Room:
    models = list(our_models())
    what = f"{counted(len(models), 'model')} that {'was' if len(models) == 1 else 'were'} fetched, and what has come of others"
    return Room("Models from the Hub", _size("models", models), what, str(_data() / "hub"))


def _existing_cache() -> Iterator[Room]:
    """The cache of the Hub's own library, where this installation was told to use one."""
    cache = common_cache()
    if cache.is_dir() and not is_ours(cache):
        models = counted(len(list(cached(cache))), "whole model")
        what = f"{models}, used where they are; Progeny adds what it fetches for everybody and removes nothing"
        yield Room("Existing cache of the Hub", _size("cache", [cache]), what, str(cache))


def _folders() -> Iterator[Room]:
    for name, folder, what in (
        ("Benchmarks", "benchmarks", "frozen questions"),
        ("Fetched data sets", "hub", "what tasks were made from"),
        ("Logs", "logs", "what the programs say"),
    ):
        if (path := _data() / folder).is_dir():
            yield Room(name, _size(folder, [path], but=PREFIX), what, str(path))


def _database() -> Iterator[Room]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_database_size(current_database()), "
            "(SELECT sum(pg_total_relation_size(name::regclass))::bigint FROM unnest(%s::text[]) name)",
            [list(_RESULTS)],
        )
        whole, results = cursor.fetchone()
    where = "in Postgres"
    yield Room("Results", results, "candidates, scores, answers and events of all runs", where)
    yield Room("Database, all else", whole - results, "settings, indexes, and what Postgres keeps for itself", where)


def _size(name: str, folders: Iterable[Path], but: str = "\0") -> int:
    """Of all files below these, but not of folders whose names begin so."""
    key = f"system.size.{name}"
    found: int | None = cache.get(key)
    if found is None:
        found = sum(n_bytes for folder in folders for n_bytes in _sizes(folder, but))
        cache.set(key, found, WALK_SECONDS)
    return found


def _sizes(folder: Path, but: str) -> Iterator[int]:
    """Of every file below it; one that goes meanwhile counts nothing."""
    for root, below, names in os.walk(folder):
        below[:] = [one for one in below if not one.startswith(but)]
        for name in names:
            try:
                yield os.lstat(os.path.join(root, name)).st_size
            except FileNotFoundError:
                continue


def _data() -> Path:
    return Path(settings.DATA_DIR)
