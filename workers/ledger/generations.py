"""From one generation to the next: tell the search, open what it asks for, or finish. Anybody may call `advance`, any number of times.

The next population is computed from terminal rows, which never change, outside any lock; a transaction then checks that the run still
stands where it was read, and writes. Two processes that race compute the same population, and one of them finds its work done.
"""

from __future__ import annotations

import logging
import statistics
from collections import Counter
from typing import Any, Final
from uuid import UUID

from django.db import connection, models, transaction
from django.db.models.functions import Now

from merging.errors import MergingError
from webapp.leases import HOLDS
from webapp.runs import events, ranks, transitions, versions
from webapp.runs.models import Candidate, Evaluation, Generation, Run
from workers.failpoints import around, failpoint
from workers.ledger import fidelities
from workers.ledger.searches import Proposal, Searches, Told, told_with

log = logging.getLogger(__name__)

# Nothing that is told with the newest generation is open, or a transition waits for nothing any more.
_DUE: Final = f"""
SELECT r.id FROM runs_run r
 WHERE (%(run)s::uuid IS NULL OR r.id = %(run)s) AND r.deleted_at IS NULL AND r.algo_version = ANY(%(known)s) AND (
       r.state IN ('queued', 'running') AND NOT EXISTS (
           SELECT FROM runs_evaluation e JOIN runs_candidate c ON c.id = e.candidate_id JOIN runs_generation g ON g.id = c.generation_id
            WHERE e.run_id = r.id AND e.status IN ('pending', 'leased') AND e.split = 'search' AND (
                  coalesce(c.index < g.ahead_from, true)
                  OR EXISTS (SELECT FROM runs_generation n WHERE n.run_id = r.id AND n.number > g.number)))
    OR r.state = 'pausing' AND NOT EXISTS (
           SELECT FROM runs_evaluation e
            WHERE e.run_id = r.id AND e.status = 'leased' AND e.lease_until {HOLDS})
    OR r.state = 'finishing' AND NOT EXISTS (
           SELECT FROM runs_evaluation e
            WHERE e.run_id = r.id AND e.status IN ('pending', 'leased') AND e.split <> 'probe'))
 ORDER BY r.created
"""


def due() -> list[UUID]:
    """Runs that `advance` would move."""
    return _due()


@around("advance")
def advance(run_id: UUID, searches: Searches) -> bool:
    """Move the run on if its newest generation is complete, or if it only waits to settle; False if neither."""
    if not _due(run_id):
        return False
    run = Run.objects.get(pk=run_id)
    if run.state not in transitions.SEARCHING:
        return transitions.settle(run_id)
    newest = _newest(run)
    told: Told = {}
    if newest is not None and newest.closed is None:
        due = _told_with(newest)
        if due.filter(status__in=transitions.OPEN).exists():
            return False  # somebody has opened it since the run was found to be due
        told = told_of(due)
        if not told and newest.ahead_from is None:
            return _write(run_id, newest, told, None, None)
    try:
        if fidelities.waits(run):
            return False
        proposal = searches.propose(run, newest, told)
        plan = fidelities.plan(run, newest, told, searches.reach) if proposal else None
    except (MergingError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        log.exception("run %s cannot go on", run_id)
        return transitions.pause(run_id, f"The next generation cannot be proposed: {error}")
    failpoint("after_proposal")
    return _write(run_id, newest, told, proposal, plan)


def told_of(due: models.QuerySet[Evaluation]) -> dict[int, float]:
    """Every candidate's fitness; for failed ones the worst of all of these. Empty when none was scored."""
    rows = due.order_by("candidate__generation__number", "candidate__index").values_list("candidate_id", "fitness")
    scored = [fitness for _, fitness in rows if fitness is not None]
    if not scored:
        return {}
    worst = min(scored)
    return {candidate: worst if fitness is None else fitness for candidate, fitness in rows}


def _due(run_id: UUID | None = None) -> list[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(_DUE, {"run": run_id, "known": list(versions.KNOWN)})
        return [row[0] for row in cursor.fetchall()]


@transaction.atomic
def _write(
    run_id: UUID, newest: Generation | None, told: Told, proposal: Proposal | None, plan: dict[str, Any] | None
) -> bool:
    run = transitions.locked(run_id)
    now = _newest(run)
    if run.state not in transitions.SEARCHING or _stand(now) != _stand(newest):
        return False
    is_lost = False
    if newest is not None and newest.closed is None:
        Candidate.objects.bulk_update([Candidate(pk=pk, told=value) for pk, value in told.items()], ["told"])
        for complete in _complete(newest):
            _close(run, complete)
        failpoint("inside_closing")
        is_lost = not told and _n_evolved(run) < run.budget
        if is_lost and proposal is None:
            return transitions.pause(run_id, _all_failed(newest))
    if proposal is not None:
        _open(run, proposal, plan)
        failpoint("inside_opening")
        if newest is not None and is_lost:
            transitions.pause(run_id, _all_failed(newest))
    elif not transitions.finish_search(run):
        transitions.fail(run_id, "No candidate could be scored." if newest is None else _all_failed(newest))
    else:
        failpoint("inside_finishing")
    return True


def _complete(newest: Generation) -> list[Generation]:
    """What closes when the search is told of `newest`: the one before, if it waited for that, and itself if it leaves none to the next."""
    before = Generation.objects.filter(run=newest.run_id, number=newest.number - 1, closed=None)
    return [*before, *([newest] if newest.ahead_from is None else [])]


def _close(run: Run, generation: Generation) -> None:
    Generation.objects.filter(pk=generation.pk).update(closed=Now())
    scored = [e.fitness for e in _evaluations(generation).filter(status="done") if e.fitness is not None]
    payload = {
        "number": generation.number,
        "best": max(scored, default=None),
        "mean": statistics.fmean(scored) if scored else None,
        "spread": statistics.pstdev(scored) if scored else None,
    }
    events.record(run.pk, "generation.closed", payload)
    transitions.take_snapshot(run, generation.number)


def _open(run: Run, proposal: Proposal, plan: dict[str, Any] | None) -> None:
    generation = Generation.objects.create(
        run=run,
        number=proposal.number,
        population_digest=proposal.digest,
        sigma=proposal.sigma,
        environment=proposal.environment,
        plan=plan,
        passed=proposal.passed,
        ahead_from=proposal.ahead_from,
    )
    candidates = Candidate.objects.bulk_create(
        Candidate(
            run=run,
            generation=generation,
            kind="evolved",
            index=index,
            name=f"g{proposal.number}.{index}",
            genome=list(genome),
            recipe=recipe.to_json(),
            recipe_digest=recipe.digest(),
        )
        for index, (genome, recipe) in enumerate(zip(proposal.genomes, proposal.recipes, strict=True))
    )
    rank = ranks.of_generation(proposal.number, "search")
    Evaluation.objects.bulk_create(Evaluation(run=run, candidate=c, split="search", rank=rank) for c in candidates)
    payload = {"number": proposal.number, "n_candidates": len(candidates), "sigma": proposal.sigma}
    events.record(run.pk, "generation.opened", payload)


def _newest(run: Run) -> Generation | None:
    return run.generations.order_by("-number").first()


def _stand(generation: Generation | None) -> tuple[int, bool] | None:
    return None if generation is None else (generation.number, generation.closed is None)


def _evaluations(generation: Generation) -> models.QuerySet[Evaluation]:
    return Evaluation.objects.filter(candidate__generation=generation, split="search")


def _told_with(generation: Generation) -> models.QuerySet[Evaluation]:
    return Evaluation.objects.filter(candidate__in=told_with(generation).values("pk"), split="search")


def _n_evolved(run: Run) -> int:
    return run.candidates.filter(kind="evolved").count()


def _all_failed(generation: Generation) -> str:
    """The commonest cause, with one sentence that shows it."""
    failed = (
        _told_with(generation).filter(status="failed").order_by("candidate__generation__number", "candidate__index")
    )
    causes = Counter(failed.values_list("failure_kind", flat=True))
    kind, n = causes.most_common(1)[0]
    example = failed.filter(failure_kind=kind).values_list("failure", flat=True)[0]
    n_failed, whole = sum(causes.values()), generation.candidates.count()
    whose = "of" if generation.ahead_from is None and n_failed == whole else "that were to be told with"
    return f"All {n_failed} candidates {whose} generation {generation.number} failed, {n} of them with: {example}"
