"""How a run changes state: what people ask for and workers complete. SQL only; knows no worker and computes nothing.

Every function here is one short transaction that begins by locking the run's row, so transitions, claims and results of
a run happen one after the other; whoever locks more locks in the order run, evaluation. A call that comes too late or
twice changes nothing and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from webapp.leases import live
from webapp.runs import events, ranks, winners
from webapp.runs.config import N_FINALISTS
from webapp.runs.models import ENDED, LIVE, REFERENCES, Candidate, Evaluation, Run, RunState

SEARCHING: Final[tuple[RunState, ...]] = ("queued", "running")
OPEN: Final = ("pending", "leased")


def locked(run_id: UUID) -> Run:
    """The run's row, ours until the transaction ends. Rows that only point to it may still be inserted by others."""
    return Run.objects.select_for_update(no_key=True).get(pk=run_id)


@transaction.atomic
def pause(run_id: UUID, message: str = "", needs_bytes: int | None = None) -> bool:
    """Claim nothing new; what is in flight still counts, and when nothing is, it is paused at once.

    `message` says why, when it was not a person. With `needs_bytes` it resumes by itself when the data folder has so much room.
    """
    run = locked(run_id)
    if run.state not in SEARCHING:
        return False
    run.needs_bytes = needs_bytes
    _enter(run, "pausing", message=message)
    _settle(run)
    return True


@transaction.atomic
def resume(run_id: UUID) -> bool:
    """Go on where it was; also takes back a pause that has not settled."""
    run = locked(run_id)
    if run.state not in ("pausing", "paused"):
        return False
    _enter(run, "running" if run.started else "queued", message="")
    return True


@transaction.atomic
def stop(run_id: UUID) -> bool:
    """End the search and keep the best: evolved candidates without a score are dropped, results in flight included."""
    run = locked(run_id)
    if run.state not in (*SEARCHING, "pausing", "paused"):
        return False
    run.stopping = True
    run.save(update_fields=["stopping"])
    _drop(run, Q(split="search", candidate__kind="evolved"))
    if not finish_search(run):
        _drop(run, Q())
        _end(run, "stopped", "Nothing was scored before it was stopped.")
    return True


@transaction.atomic
def delete(run_id: UUID) -> bool:
    """Take it off every list. A live run ends at once and without an exam; who computes something for it learns that at the next renewal.

    Its rows go when nothing needs them any more: `housekeeping.purge_deleted`, of the workers.
    """
    run = locked(run_id)
    if run.deleted_at is not None:
        return False
    _drop(run, Q())
    if run.state in LIVE:
        _end(run, "stopped", "It was deleted before it had ended.")
    Run.objects.filter(pk=run_id).update(deleted_at=Now())
    return True


@transaction.atomic
def fail(run_id: UUID, message: str) -> bool:
    """The run cannot go on: what is open is dropped."""
    run = locked(run_id)
    if run.state not in LIVE:
        return False
    _drop(run, Q())
    _end(run, "failed", message)
    return True


@transaction.atomic
def settle(run_id: UUID) -> bool:
    """Complete what waited for work in flight: pausing becomes paused, finishing becomes done or stopped."""
    return _settle(locked(run_id))


def is_over(run_id: UUID) -> bool:
    """Whether the search is over: too late to pause, and it never becomes earlier."""
    return Run.objects.filter(pk=run_id, state__in=("finishing", *ENDED)).exists()


def start(run: Run) -> None:
    """Somebody works on it: queued becomes running. Call it with the run's row locked."""
    Run.objects.filter(pk=run.pk).update(started=Now())
    _enter(run, "running", run.message)


def finish_search(run: Run) -> bool:
    """End the search. First, finalists whose scores are estimates are asked all search samples, and snapshots by which the winner is chosen
    get their scores; then it is chosen.

    False when nothing evolved was scored. Call it with the run's row locked.
    """
    finalists = winners.best(run, _n_finalists(run))
    if not finalists:
        return False
    if winners.by_validation(run):
        for number in run.generations.filter(closed=None).values_list("number", flat=True):  # a stop leaves them open
            take_snapshot(run, number)
    _ask_in_full(run, finalists)
    _enter(run, "finishing", message=run.message)
    if not _is_undecided(run):
        _hold_exam(run)
    return True


def take_snapshot(run: Run, generation: int) -> None:
    """Ask for the validation score of the best of a generation, once. Call it with the run's row locked."""
    rank = ranks.of_generation(generation, "validation")
    Evaluation.objects.bulk_create(
        [
            Evaluation(run=run, candidate=c, split="validation", rank=rank)
            for c in winners.best(run, generation=generation)
        ],
        ignore_conflicts=True,
    )


def _is_undecided(run: Run) -> bool:
    """Whether scores are still open by which the winner is chosen."""
    decide = Q(split="full")
    if winners.by_validation(run):
        decide |= Q(split="validation", candidate__kind="evolved")
    return run.evaluations.filter(decide, status__in=OPEN).exists()


def _hold_exam(run: Run) -> None:
    """Choose the winner and ask for the validation and final scores of it, the finalists, the parents and the baselines."""
    finalists = winners.best(run, _n_finalists(run))
    winner = winners.winner(run, finalists)
    _ask_in_full(run, [winner])
    compared = [winner, *(c for c in finalists if c != winner), *run.candidates.filter(kind__in=REFERENCES)]
    splits: tuple[Literal["validation", "final"], ...] = ("validation", "final")
    Evaluation.objects.bulk_create(
        [Evaluation(run=run, candidate=c, split=split, rank=ranks.LAST) for split in splits for c in compared],
        ignore_conflicts=True,
    )
    run.winner = winner
    run.save(update_fields=["winner"])
    events.record(run.pk, "run.winner", {"candidate": winner.pk})


def _ask_in_full(run: Run, candidates: Sequence[Candidate]) -> None:
    """Ask those of which the search was told an estimate all search samples, once."""
    guessed = run.evaluations.filter(candidate__in=candidates, split="search", is_estimate=True)
    Evaluation.objects.bulk_create(
        [
            Evaluation(run=run, candidate_id=pk, split="full", rank=ranks.FULL)
            for pk in guessed.values_list("candidate", flat=True)
        ],
        ignore_conflicts=True,
    )


def _n_finalists(run: Run) -> int:
    return int(run.config.get("n_finalists", N_FINALISTS))


def _settle(run: Run) -> bool:
    if run.state == "pausing" and not run.evaluations.filter(live()).exists():
        _enter(run, "paused", message=run.message)
        return True
    if run.state == "finishing" and not run.evaluations.filter(status__in=OPEN).exclude(split="probe").exists():
        if run.winner_id is None:
            _hold_exam(run)
            return True
        if run.evaluations.filter(split="final", status="done").exists():
            Run.objects.filter(pk=run.pk).update(examined=Now())
        _end(run, "stopped" if run.stopping else "done", run.message)
        return True
    return False


def _drop(run: Run, which: Q) -> None:
    chosen = run.evaluations.filter(which, status__in=OPEN).values("pk")
    Evaluation.objects.filter(pk__in=chosen, status__in=OPEN).update(status="dropped", lease_until=None)


def _enter(run: Run, state: RunState, message: str) -> None:
    run.state, run.message = state, message
    if state not in ("pausing", "paused"):
        run.needs_bytes = None
    run.save(update_fields=["state", "message", "needs_bytes"])
    events.record(run.pk, "run.state", {"state": state, "message": message, "stopping": run.stopping})


def _end(run: Run, state: RunState, message: str) -> None:
    Run.objects.filter(pk=run.pk).update(ended=Now())
    _enter(run, state, message)
