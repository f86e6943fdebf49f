"""How a candidate came to be, what was done for it, who failed like it, and what came of it. Reads rows only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.contrib.auth.models import User
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Count, Q

from webapp.library.models import Parent as ParentRow
from webapp.runs.models import Attempt, Candidate, Evaluation, Run
from webapp.sharing.access import runs_of

N_ALIKE: Final = 8
N_RUNS: Final = 8


@dataclass(frozen=True)
class Origin:
    """The generation of an evolved candidate: how many of it are scored, and which place the candidate has among these, None unscored."""

    number: int
    sigma: float | None
    n_scored: int
    place: int | None


@dataclass(frozen=True)
class Alike:
    """Candidates of the run that failed in the same way on the search split: some of the `n`."""

    kind: str
    n: int
    candidates: Sequence[Candidate]


@dataclass(frozen=True)
class Afterwards:
    """What came of a candidate: the model in the library that it became, and runs that breed from that, as far as one may see them."""

    parent: ParentRow | None
    runs: Sequence[Run]


def origin(candidate: Candidate, search: Evaluation | None) -> Origin | None:
    """Where in its generation a candidate stands; None for one that no search proposed. `search` is its score as the search was told."""
    generation = candidate.generation
    if generation is None:
        return None
    scored = Evaluation.objects.filter(candidate__generation=generation, split="search", status="done")
    fitness = search.fitness if search else None
    better = Q(fitness__gt=fitness) if fitness is not None else Q(pk=None)
    counts = scored.aggregate(n=Count("pk"), n_better=Count("pk", filter=better))
    place = None if fitness is None else 1 + counts["n_better"]
    return Origin(generation.number, generation.sigma, counts["n"], place)


def attempts(candidate: Candidate) -> list[Attempt]:
    """Every claim of its evaluations, in the order of time."""
    rows = Attempt.objects.filter(evaluation__candidate=candidate).select_related("evaluation")
    return list(rows.order_by("started", "token"))


def alike(failed: Evaluation) -> Alike:
    """Who else failed so."""
    others = Evaluation.objects.filter(run=failed.run_id, status="failed", failure_kind=failed.failure_kind)
    others = others.exclude(candidate=failed.candidate_id).exclude(split="probe").order_by("candidate")
    found = Candidate.objects.filter(pk__in=others.values("candidate")).defer("recipe", "genome")
    return Alike(failed.failure_kind, found.count(), list(found[:N_ALIKE]))


def afterwards(candidate: Candidate, user: User) -> Afterwards:
    """What came of it, for this person; `candidate` was best read with its adoption."""
    try:
        parent = candidate.adoption.parent
    except ObjectDoesNotExist:
        parent = None
    if parent is None or parent.hidden_at is not None:
        return Afterwards(None, ())
    bred = runs_of(user).filter(config__parents__contains=[{"folder": parent.folder}])
    return Afterwards(parent, list(bred.order_by("created")[:N_RUNS]))
