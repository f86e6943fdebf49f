"""What Prometheus is told. Requests and sockets are counted in this process; all else is read from Postgres when it is asked for.

With several web servers each tells its own requests, and all tell the same of the ledger.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final, get_args

from django.db import DatabaseError, connection
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector
from redis import RedisError

from webapp.leases import HOLDS, Leased, Status
from webapp.runs.invariants import INVARIANTS
from webapp.runs.models import CLAIMABLE, PROBED, RUN_STATES, Attempt
from webapp.system import checks, servers
from webapp.system.status import ALIVE

REGISTRY: Final = CollectorRegistry()
REQUESTS: Final = Counter(
    "progeny_http_requests", "Requests that were answered.", ("route", "method", "status"), registry=REGISTRY
)
SECONDS: Final = Histogram(
    "progeny_http_request_seconds",
    "From a request's arrival to the first byte of its answer.",
    ("route",),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=REGISTRY,
)
SOCKETS: Final = Gauge("progeny_websockets", "Websockets that are open.", registry=REGISTRY)
ProcessCollector(registry=REGISTRY)

# One query: each row is (metric, label, value).
_COUNTS: Final = f"""
SELECT 'runs', state, count(*)::float8 FROM runs_run WHERE deleted_at IS NULL GROUP BY state
 UNION ALL SELECT 'evaluations', status, count(*) FROM runs_evaluation GROUP BY status
 UNION ALL SELECT 'attempts', coalesce(nullif(outcome, ''), 'open'), count(*) FROM runs_attempt GROUP BY 2
 UNION ALL SELECT 'exports', status, count(*) FROM exports_export GROUP BY status
 UNION ALL SELECT 'waiting', 'evaluation', count(*) FROM runs_evaluation e JOIN runs_run r ON r.id = e.run_id
            WHERE e.status = 'pending' AND r.deleted_at IS NULL
              AND (r.state = ANY(%(claimable)s) OR r.state = ANY(%(probed)s) AND e.split = 'probe')
 UNION ALL SELECT 'waiting', 'export', count(*) FROM exports_export WHERE status = 'pending'
 UNION ALL SELECT 'waiting', 'fetch', count(*) FROM library_fetch WHERE status = 'pending'
 UNION ALL SELECT 'waiting', 'trial', count(*) FROM trials_trial WHERE status = 'pending'
 UNION ALL SELECT 'leases', CASE WHEN lease_until {HOLDS} THEN 'live' ELSE 'expired' END, count(*)
             FROM ({{leased}}) held GROUP BY 2
 UNION ALL SELECT 'workers', CASE WHEN seen < clock_timestamp() - make_interval(secs => %(alive)s) THEN 'silent'
                                  WHEN ready THEN 'ready' ELSE 'starting' END, count(*)
             FROM system_worker WHERE stopped IS NULL GROUP BY 2
 UNION ALL SELECT 'generations', 'n', count(*) FROM runs_generation WHERE closed IS NOT NULL
 UNION ALL SELECT 'generations', 'seconds', coalesce(sum(extract(epoch FROM closed - opened)), 0) FROM runs_generation
 UNION ALL SELECT 'unrelayed', '', count(*) FROM runs_event WHERE relayed IS NULL
 UNION ALL SELECT 'database_bytes', '', pg_database_size(current_database())
"""
_OUTCOMES: Final = tuple(str(value) for value, _ in Attempt._meta.get_field("outcome").choices or ())
# Metric: help, label, the label's values; each has a figure, also when it is 0.
_FAMILIES: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    "runs": ("Runs, deleted ones apart.", "state", RUN_STATES),
    "evaluations": ("Candidates to score on one split.", "status", get_args(Status)),
    "attempts": ("Claims of evaluations by how they ended.", "outcome", ("open", *_OUTCOMES)),
    "exports": ("Models for download.", "status", get_args(Status)),
    "waiting": ("Work that a worker could claim now.", "kind", ("evaluation", "export", "fetch", "trial")),
    "leases": (
        "Work that a worker holds; an expired lease is given back within seconds.",
        "state",
        ("live", "expired"),
    ),
    "workers": ("Workers that have not stopped.", "state", ("ready", "starting", "silent")),
}
Figures = dict[str, dict[str, float]]


def text() -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)


class _House(Collector):
    """The ledger, the workers, the servers and the disk, asked at every scrape."""

    def collect(self) -> Iterable[Metric]:
        """Without the database only what can be known without it."""
        figures = _figures()
        yield _gauge("up", "1 while it answers.", "server", {"database": figures is not None, "queue": _queue_is_up()})
        yield from _of_disk()
        if figures is not None:
            yield from _of_ledger(figures)
            yield from _of_invariants()


def _of_ledger(figures: Figures) -> Iterator[Metric]:
    for name, (sentence, label, values) in _FAMILIES.items():
        yield _gauge(name, sentence, label, dict.fromkeys(values, 0.0) | figures[name])
    closed = figures["generations"]
    yield SummaryMetricFamily(
        "progeny_generation_seconds",
        "From the opening of a generation to its close.",
        count_value=int(closed["n"]),
        sum_value=closed["seconds"],
    )
    yield _gauge("events_not_relayed", "Events that nobody was told of yet.", value=figures["unrelayed"][""])
    yield _gauge("database_bytes", "Size of the database.", value=figures["database_bytes"][""])


def _of_invariants() -> Iterator[Metric]:
    """As of a minute ago at most. Nothing is told when they could not be asked: an absence that an alert can see."""
    try:
        broken = {violation.name: violation.count for violation in checks.broken_invariants()}
    except DatabaseError:
        return
    yield _gauge(
        "invariant_violations",
        "Rows that break an invariant of the ledger. Must be 0.",
        "invariant",
        {invariant.name: broken.get(invariant.name, 0) for invariant in INVARIANTS},
    )


def _of_disk() -> Iterator[Metric]:
    if usage := checks.disk_usage():
        yield _gauge("disk_bytes", "Where the data folder lies.", "kind", {"free": usage.free, "total": usage.total})


def _figures() -> Figures | None:
    """Metric to label to value; None while the database does not answer."""
    parameters: dict[str, Any] = {"claimable": list(CLAIMABLE), "probed": list(PROBED), "alive": ALIVE.total_seconds()}
    figures: defaultdict[str, dict[str, float]] = defaultdict(dict)
    try:
        with connection.cursor() as cursor:
            cursor.execute(_COUNTS.format(leased=_leased()), parameters)
            for metric, label, value in cursor.fetchall():
                figures[metric][label] = value
    except DatabaseError:
        return None
    return figures


def _leased() -> str:
    """The ends of the leases of everything that workers hold, whatever it is."""
    tables = sorted(rows._meta.db_table for rows in Leased.__subclasses__())
    return " UNION ALL ".join(f"SELECT lease_until FROM {table} WHERE status = 'leased'" for table in tables)  # nosec B608


def _queue_is_up() -> bool:
    try:
        servers.queue()
    except RedisError:
        return False
    return True


def _gauge(
    name: str, sentence: str, label: str = "", values: dict[str, float] | None = None, value: float | None = None
) -> Metric:
    """One figure, or one for each value of a label."""
    family = GaugeMetricFamily(f"progeny_{name}", sentence, value=value, labels=[label] if label else None)
    for of, figure in (values or {}).items():
        family.add_metric([of], figure)
    return family


REGISTRY.register(_House())
