"""What claims of exports, trials and fetches have in common: people take turns, of one person's the oldest is taken, a lease runs out, what
cannot be done has failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Now

from webapp.leases import HOLDS, LEASE, MAX_ATTEMPTS, Leased
from workers import texts
from workers.failures import Failure
from workers.ledger.claims import Lease

TURNS: Final = f"""(
       SELECT owner_id, count(*) FILTER (WHERE status = 'leased' AND lease_until {HOLDS}) AS n_held, max(lease_token) AS served
         FROM {{table}} GROUP BY owner_id)"""
"""Of each person how many rows of the table are held, and the last token that one of them was given."""
IN_TURN: Final = "turn.n_held, turn.served NULLS FIRST"
"""Whose turn it is: as of evaluations, who has the fewest live leases, then who has waited longest for one."""

# For work that is of no run. One whose lease ran out was of a worker that is no more. The names are Django's, never anybody's words.
_CLAIM_OLDEST: Final = f"""
  WITH chosen AS MATERIALIZED (
       SELECT e.id FROM {{table}} e{{turns}}
        WHERE (e.status = 'pending' OR (e.status = 'leased' AND NOT e.lease_until {HOLDS} AND e.attempts < {MAX_ATTEMPTS})){{among}}
        ORDER BY {{in_turn}}e.created, e.id LIMIT 1 FOR UPDATE OF e SKIP LOCKED)
UPDATE {{table}} w
   SET status = 'leased', attempts = w.attempts + 1, lease_token = nextval('lease_seq'), lease_owner = %s,
       lease_until = clock_timestamp() + make_interval(secs => %s){{fresh}}
  FROM chosen WHERE w.id = chosen.id
RETURNING w.id, w.lease_token
"""


def claim_oldest(rows: type[Leased], worker: str, fresh: str = "", only: Sequence[UUID] | None = None) -> Lease | None:
    """Lease the row of no run that has waited longest, or whose lease has run out; the text column `fresh` is emptied. Where rows have an
    owner, it is the oldest of whose turn it is. `only` are the rows whose files this worker has; None is all of them.
    """
    table, is_owned = rows._meta.db_table, any(field.name == "owner" for field in rows._meta.fields)
    claim = _CLAIM_OLDEST.format(
        table=table,
        turns=f" JOIN {TURNS.format(table=table)} turn USING (owner_id)" if is_owned else "",
        in_turn=f"{IN_TURN}, " if is_owned else "",
        among="" if only is None else " AND e.id = ANY(%s::uuid[])",
        fresh=f", {fresh} = ''" if fresh else "",
    )
    among = [] if only is None else [list(only)]
    with connection.cursor() as cursor:
        cursor.execute(claim, [*among, worker, LEASE.total_seconds()])
        row = cursor.fetchone()
    return Lease(rows, *row) if row else None


def fail(rows: QuerySet[Any], failure: Failure) -> int:
    """These, which are held, cannot be done, and why. How many they were."""
    return rows.update(
        status="failed",
        lease_until=None,
        finished=Now(),
        stage="",
        failure_kind=failure.kind,
        failure=texts.clean(failure.sentence),
    )
