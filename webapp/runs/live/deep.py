"""What lies below on the live page: one of several views of a run, and of its log a page. The address says which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.http import QueryDict

from webapp.addresses import number, one_of
from webapp.runs.live import log
from webapp.runs.models import Run

VIEWS: Final = ("events", "workers", "genes")


@dataclass(frozen=True)
class Deep:
    """What lies below: one of `VIEWS`; of the log, the entries before an event number, with or without the scores."""

    view: str
    before: int | None
    everything: bool

    @staticmethod
    def asked(query: QueryDict) -> Deep:
        """What the address says, or the newest events."""
        before = number(query.get("before", "")) or None
        return Deep(one_of(VIEWS, query.get("view")), before, query.get("log") == "everything")

    @property
    def views(self) -> tuple[str, ...]:
        return VIEWS

    def log_of(self, run: Run) -> log.Page | None:
        """The page of the log, when that is looked at."""
        return log.page(run, self.before, self.everything) if self.view == "events" else None

    @property
    def choice(self) -> str:
        """What was chosen, in a word."""
        return f"{self.view}-{self.before or 'newest'}-{'everything' if self.everything else 'notable'}"

    def key(self, run: Run) -> str:
        """Another one when the part is another: only the newest events change by themselves, pictures ask for their own numbers."""
        return f"{self.choice} {run.next_seq if self.view == 'events' and self.before is None else ''}"
