"""What this installation can say about itself: its workers and its version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db.models.functions import Now

from webapp import env
from webapp.system import instance
from webapp.system.models import Worker

ALIVE: Final = timedelta(seconds=30)


@dataclass(frozen=True)
class Seen:
    """A worker; `alive` when it has reported within half a minute by the database's clock."""

    worker: Worker
    alive: bool

    @property
    def takes_work(self) -> bool:
        """It has loaded, reports, and was not told to take nothing new."""
        return self.alive and self.worker.ready and self.worker.drained is None


def workers() -> list[Seen]:
    """Every worker that has not stopped, the latest seen first."""
    rows = Worker.objects.filter(stopped=None).annotate(now=Now()).order_by("-seen")[:50]
    return [Seen(row, row.now - row.seen < ALIVE) for row in rows]


def is_starting(seen: Sequence[Seen]) -> bool:
    """No worker takes work yet, and one is about to: it loads, or the studio here began a moment ago."""
    alive = [one for one in seen if one.alive]
    if not alive:
        return instance.is_starting(Path(settings.DATA_DIR))
    return not any(one.takes_work for one in alive) and any(one.worker.drained is None for one in alive)


def code_version() -> str:
    """The version of Progeny, as installed or as written in the checkout."""
    try:
        return version("progeny")
    except PackageNotFoundError:
        lines = (env.BASE_DIR / "pyproject.toml").read_text().splitlines()
        return next(line.split('"')[1] for line in lines if line.startswith("version"))
