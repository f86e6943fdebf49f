"""What runs tell of benchmarks: who uses one, what a candidate takes on it here, and whether its answers can be read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Q

from merging.health import Health
from webapp.library.models import Benchmark
from webapp.runs.models import Run, Score
from webapp.sharing.access import runs_of
from webapp.trials.models import Trial

N_NEWEST: Final = 3
"""Runs of a benchmark whose scores are looked at."""
N_CANDIDATES: Final = 100
"""Candidates of each of them, the newest."""

_SECONDS: Final = """
SELECT wanted.digest, max(s.n) * percentile_cont(0.5) WITHIN GROUP (ORDER BY s.seconds / s.n), count(*), max(s.n)
  FROM unnest(%s::uuid[], %s::text[]) AS wanted (run_id, digest)
 CROSS JOIN LATERAL (
       SELECT id FROM runs_evaluation e
        WHERE e.run_id = wanted.run_id AND e.split = 'search' AND e.status = 'done' ORDER BY id DESC LIMIT %s) e
  JOIN runs_score s ON s.evaluation_id = e.id AND s.digest = wanted.digest
 GROUP BY wanted.digest
"""


@dataclass(frozen=True)
class Unread:
    """A model of whose completions none held an answer that the scorer could read, and how many there were."""

    model: str
    n: int


@dataclass
class Use:
    """`seconds` is what `n_asked` questions take, the most that one was asked: from the median of the seconds a question of `n_candidates`,
    however many each was asked. None where nothing was scored.

    `n_parents` of the newest runs were measured; of those in `unread` no answer could be read, and `concerns` are what else is wrong: with
    those models, as long as another's answers are sound.
    """

    runs: list[tuple[UUID, str]] = field(default_factory=list)
    seconds: float | None = None
    n_candidates: int = 0
    n_asked: int = 0
    n_parents: int = 0
    unread: list[Unread] = field(default_factory=list)
    concerns: list[tuple[str, str]] = field(default_factory=list)

    @property
    def n_runs(self) -> int:
        return len(self.runs)

    @property
    def is_sound(self) -> bool:
        """Whether the answers of at least one model were beyond doubt: then the benchmark and its prompts can be."""
        return len(self.unread) + len({model for model, _ in self.concerns}) < self.n_parents


def uses_of(user: User, benchmarks: Iterable[Benchmark]) -> Mapping[str, Use]:
    """What the runs that this person may see tell, by digest; four queries however many there are."""
    digests = {row.digest for row in benchmarks}
    found: defaultdict[str, Use] = defaultdict(Use)
    runs = runs_of(user).order_by("-created", "pk").values_list("pk", "name", "config__objectives", "config__benchmark")
    for pk, name, objectives, only in runs:
        for digest in _digests(objectives, only) & digests:
            found[digest].runs.append((pk, name))
    newest = [(pk, digest) for digest, use in found.items() for pk, _ in use.runs[:N_NEWEST]]
    for digest, seconds, n_candidates, n_asked in _measured(newest):
        found[digest].seconds, found[digest].n_candidates, found[digest].n_asked = seconds, n_candidates, n_asked
    _add_health(found, newest)
    return found


def is_used(digest: str) -> bool:
    """Whether any run of anybody has frozen it."""
    of_several = Q(config__objectives__contains=[{"benchmark": {"digest": digest}}])
    return Run.objects.filter(of_several | Q(config__benchmark__digest=digest)).exists()


def last_trial(user: User, digest: str) -> Trial | None:
    """This person's newest trial on a benchmark that has come to something."""
    mine = Trial.objects.filter(owner=user, status="done", benchmarks__contains=[{"digest": digest}])
    return mine.order_by("-created").first()


def _digests(objectives: Any, only: Any) -> set[str]:
    """Of a run's configuration, also from when it had one benchmark."""
    specs = [one["benchmark"] for one in objectives or ()] + ([only] if only else [])
    return {spec["digest"] for spec in specs}


def _measured(newest: list[tuple[UUID, str]]) -> list[tuple[str, float, int, int]]:
    if not newest:
        return []
    runs, digests = zip(*newest, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(_SECONDS, [list(runs), list(digests), N_CANDIDATES])
        return list(cursor.fetchall())


def _add_health(found: Mapping[str, Use], newest: list[tuple[UUID, str]]) -> None:
    """Of parents: they are ordinary models, so that what cannot be read of them is the benchmark's fault or its prompt's."""
    scores = Score.objects.filter(
        digest__in={digest for _, digest in newest},
        evaluation__run__in={pk for pk, _ in newest},
        evaluation__split="search",
        evaluation__candidate__kind="parent",
    ).order_by("-pk")
    seen: set[tuple[str, str]] = set()
    for digest, name, health, concerns in scores.values_list(
        "digest", "evaluation__candidate__name", "health", "concerns"
    ):
        if (digest, name) in seen:
            continue
        seen.add((digest, name))
        use = found[digest]
        use.n_parents += 1
        counts = Health.from_json(health) if health else None
        if counts and counts.empty + counts.unextractable == counts.n:
            use.unread.append(Unread(name, counts.n))
        else:
            use.concerns += [(name, concern) for concern in concerns]
