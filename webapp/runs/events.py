"""The words of the outbox and their wire formats. A row is written with `record`, inside the transaction of what it tells.

What leaves the server is the same for a page that watches and for one that catches up: `EventMessage`, numbered without gap per run.
An event is a hint on the channel layer ("events up to n exist"); the rows are the truth.
"""

from __future__ import annotations

import json
from typing import Any, Final, Literal, TypedDict
from uuid import UUID

from django.db import connection

from webapp.runs.models import Event

_RECORD: Final = """
  WITH counted AS (UPDATE runs_run SET next_seq = next_seq + 1 WHERE id = %s RETURNING id, next_seq - 1 AS seq)
INSERT INTO runs_event (run_id, seq, kind, payload) SELECT id, seq, %s, %s::jsonb FROM counted RETURNING seq
"""

Kind = Literal[
    "run.state",  # {state, message, stopping}
    "run.winner",  # {candidate}
    "generation.opened",  # {number, n_candidates, sigma}
    "generation.closed",  # {number, best, mean, spread}
    "evaluation.done",  # ScorePayload
    "evaluation.failed",  # {candidate, name, kind, split, failure_kind, failure}
]


class ScorePayload(TypedDict):
    """One score as the charts and the leaderboard need it; `number` counts the run's finished evolved candidates from 1."""

    candidate: int
    name: str
    kind: str
    generation: int | None
    index: int
    split: str
    fitness: float | None
    mean: float
    low: float
    high: float
    n: int
    is_healthy: bool
    number: int | None
    seconds: float


class EventMessage(TypedDict):
    """One event on the wire."""

    seq: int
    kind: str
    at: str
    payload: dict[str, Any]


def group_name(run_id: UUID | str) -> str:
    """The channel-layer group of a run's watchers."""
    return f"run.{run_id}"


def record(run_id: UUID, kind: Kind, payload: dict[str, Any]) -> int:
    """Append one event and return its number.

    Must run inside a transaction: the run's row stays locked until it ends, so numbers have no gap.
    """
    with connection.cursor() as cursor:
        cursor.execute(_RECORD, [run_id, kind, json.dumps(payload)])
        return int(cursor.fetchone()[0])


def message(event: Event) -> EventMessage:
    """An event as it travels."""
    return {"seq": event.seq, "kind": event.kind, "at": event.created.isoformat(), "payload": event.payload}
