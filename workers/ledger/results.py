"""How a claim ends: with a score, a failure of its own, or back in the queue. Only the holder of the token is heard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from merging.evaluation import Evaluation as Score
from merging.fitness import fitness
from webapp.runs import events, transitions
from webapp.runs.models import Attempt, Evaluation, Outcomes, Run, RunState
from workers import failures, texts
from workers.failures import Failure
from workers.ledger.claims import MAX_ATTEMPTS, Claim

_HEARD: Final[tuple[RunState, ...]] = ("queued", "running", "pausing", "finishing")


@dataclass(frozen=True)
class Scored:
    """What the device process measured. `fitness` is None on the final split, which the search never sees."""

    score: Score
    fitness: float | None
    merge_seconds: float
    evaluate_seconds: float


def scored(score: Score, merge_seconds: float, evaluate_seconds: float) -> Scored:
    """The score with its fitness. EvaluationError when that is not finite."""
    value = None if score.split == "final" else fitness(score)
    return Scored(score, value, merge_seconds, evaluate_seconds)


@transaction.atomic
def finish(claim: Claim, result: Scored) -> bool:
    """Write the score and what follows from it. False when fenced; True again when the first call's reply was lost."""
    run = transitions.locked(claim.run_id)
    score = result.score
    written = run.state in _HEARD and _held(claim).update(
        status="done",
        lease_until=None,
        finished=Now(),
        fitness=result.fitness,
        mean=score.mean,
        low=score.low,
        high=score.high,
        n=score.n,
        right=score.right,
        in_language=score.in_language,
        scorer=score.scorer,
        merge_seconds=result.merge_seconds,
        evaluate_seconds=result.evaluate_seconds,
    )
    if not written:
        return _already(claim, "done") or _fence(claim)
    samples = texts.clean_json([outcome.to_json() for outcome in score.outcomes])
    Outcomes.objects.create(evaluation_id=claim.evaluation_id, samples=samples)
    end_attempt(claim.lease.token, "accepted")
    events.record(run.pk, "evaluation.done", {**_payload(claim, result)})
    return True


@transaction.atomic
def fail(claim: Claim, failure: Failure) -> bool:
    """The candidate's own failure: terminal, with a kind and a sentence. False when fenced."""
    run = transitions.locked(claim.run_id)
    held = _held(claim)
    if run.state not in _HEARD or not held.exists():
        return _already(claim, "failed") or _fence(claim)
    _fail(run, held.get(), failure)
    end_attempt(claim.lease.token, "failed", failure.sentence)
    return True


@transaction.atomic
def give_back(claim: Claim, outcome: str, failure: Failure | None = None) -> bool:
    """Not computed after all: pending again. The attempt counts if the worker failed; the third such one is poison."""
    run = transitions.locked(claim.run_id)
    evaluation = _held(claim).first()
    if evaluation is None:
        return _fence(claim)
    return_to_queue(run, evaluation, failure)
    end_attempt(claim.lease.token, outcome, failure.sentence if failure else "")
    return True


def return_to_queue(run: Run, evaluation: Evaluation, failure: Failure | None) -> None:
    """Make a leased evaluation pending, or failed after too many attempts. Call it with the run's row locked."""
    if failure is not None and evaluation.attempts >= MAX_ATTEMPTS:
        sentence = failures.poison(evaluation.attempts, failure.sentence)
        return _fail(run, evaluation, Failure("candidate", failures.POISON, sentence))
    attempts = evaluation.attempts - (failure is None)
    _leased(evaluation).update(status="pending", lease_until=None, attempts=attempts)


def end_attempt(token: int, outcome: str, error: str = "") -> None:
    """Close the attempt. One that was accepted stays so; one that was given up for lost may still turn out fenced."""
    attempt = Attempt.objects.filter(token=token, outcome__in=("", "lost"))
    attempt.update(outcome=outcome, ended=Now(), error=texts.clean(error))


def _held(claim: Claim) -> Any:
    return Evaluation.objects.filter(pk=claim.evaluation_id, status="leased", lease_token=claim.lease.token)


def _leased(evaluation: Evaluation) -> Any:
    return Evaluation.objects.filter(pk=evaluation.pk, status="leased", lease_token=evaluation.lease_token)


def _already(claim: Claim, status: str) -> bool:
    return Evaluation.objects.filter(pk=claim.evaluation_id, status=status, lease_token=claim.lease.token).exists()


def _fence(claim: Claim) -> bool:
    end_attempt(claim.lease.token, "fenced")
    return False


def _fail(run: Run, evaluation: Evaluation, failure: Failure) -> None:
    sentence = texts.clean(failure.sentence)
    _leased(evaluation).update(
        status="failed", lease_until=None, finished=Now(), failure_kind=failure.kind, failure=sentence
    )
    candidate = evaluation.candidate
    payload = {
        "candidate": candidate.pk,
        "name": candidate.name,
        "kind": candidate.kind,
        "split": evaluation.split,
        "failure_kind": failure.kind,
        "failure": sentence,
    }
    events.record(run.pk, "evaluation.failed", payload)


def _payload(claim: Claim, result: Scored) -> events.ScorePayload:
    score = result.score
    return {
        "candidate": claim.candidate_id,
        "name": claim.name,
        "kind": claim.kind,
        "generation": claim.generation,
        "index": claim.index,
        "split": claim.split,
        "fitness": result.fitness,
        "mean": score.mean,
        "low": score.low,
        "high": score.high,
        "n": score.n,
        "number": _number(claim.run_id) if claim.kind == "evolved" and claim.split == "search" else None,
        "seconds": result.merge_seconds + result.evaluate_seconds,
    }


def _number(run_id: UUID) -> int:
    """How many evolved candidates are scored, this one included. The run's row is locked: it is this one's number."""
    return Evaluation.objects.filter(run_id=run_id, split="search", status="done", candidate__kind="evolved").count()
