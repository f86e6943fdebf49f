"""What one user may have here, and how much of it somebody has."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.models import User

from webapp.exports.listing import room_of
from webapp.library.models import Benchmark
from webapp.runs.models import LIVE, Run


@dataclass(frozen=True)
class Limit:
    """One limit: what is limited, the setting that says so, the most, and what this person has of it; None where a run is limited."""

    what: str
    setting: str
    most: int
    has: int | None = None
    in_bytes: bool = False


def limits(user: User) -> list[Limit]:
    """All of settings.QUOTAS, as they are counted when something is taken."""
    most = settings.QUOTAS
    n_runs = Run.objects.filter(owner=user, state__in=LIVE, deleted_at=None).count()
    n_benchmarks = Benchmark.objects.filter(owner=user).count()
    n_bytes = room_of(user).n_bytes
    return [
        Limit("Runs that are not over", "PROGENY_MAX_RUNS", most.n_runs, n_runs),
        Limit("Candidates in a run", "PROGENY_MAX_BUDGET", most.budget),
        Limit("Candidates in a generation", "PROGENY_MAX_POPULATION", most.population),
        Limit("Benchmarks of one's own", "PROGENY_MAX_BENCHMARKS", most.n_benchmarks, n_benchmarks),
        Limit("Models built for download", "PROGENY_MAX_EXPORT_GB", most.export_bytes, n_bytes, in_bytes=True),
    ]
