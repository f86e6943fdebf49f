"""How a claim ends: with a score, a failure of its own, or back in the queue. Only the holder of the token is heard."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from merging.evaluation import Evaluation as Measured
from merging.objectives import Combined, Objective, combine, combined_fitness
from webapp.leases import MAX_ATTEMPTS
from webapp.runs import events, outcomes, transitions
from webapp.runs.models import LIVE, PROBED, Attempt, Evaluation, Outcomes, Run, Score
from workers import failures, texts
from workers.failpoints import around, failpoint
from workers.failures import Failure
from workers.ledger.claims import Claim, held


@dataclass(frozen=True)
class Scored:
    """What the device process measured: a part for each objective of the run, in their order, and what these amount to together.

    `fitness` is None on the final split, which the search never sees. `positions` are of the samples that were asked by a plan, for each
    part; None for the first n of the split. Where they are fewer than the run's, the parts' means are estimates.
    """

    parts: tuple[tuple[Objective, Measured], ...]
    mean: Combined
    fitness: float | None
    merge_seconds: float
    evaluate_seconds: float
    positions: tuple[tuple[int, ...], ...] | None = None

    @property
    def is_estimate(self) -> bool:
        """Whether not everything was asked."""
        return self.positions is not None and self.n < sum(objective.n_search for objective, _ in self.parts)

    @property
    def n(self) -> int:
        """Samples in all."""
        return sum(measured.n for _, measured in self.parts)


def scored(
    objectives: Sequence[Objective],
    measured: Sequence[Measured],
    merge_seconds: float,
    evaluate_seconds: float,
    positions: Sequence[Sequence[int]] | None = None,
) -> Scored:
    """The scores together, with their fitness. EvaluationError when that is not finite."""
    weights = [objective.weight for objective in objectives]
    value = None if measured[0].split == "final" else combined_fitness(measured, weights)
    parts = tuple(zip(objectives, measured, strict=True))
    asked = None if positions is None else tuple(map(tuple, positions))
    return Scored(parts, combine(measured, weights), value, merge_seconds, evaluate_seconds, asked)


@around("result")
@transaction.atomic
def finish(claim: Claim, result: Scored) -> bool:
    """Write the scores and what follows from them. False when fenced; True again when the first call's reply was lost."""
    written = _is_heard(claim) and _held(claim).update(
        status="done",
        lease_until=None,
        finished=Now(),
        fitness=result.fitness,
        mean=result.mean.mean,
        low=result.mean.low,
        high=result.mean.high,
        n=result.n,
        is_estimate=result.is_estimate,
        is_healthy=_is_healthy(result),
        merge_seconds=result.merge_seconds,
        evaluate_seconds=result.evaluate_seconds,
    )
    if not written:
        return _already(claim, "done") or _fence(claim)
    _write_scores(claim.evaluation_id, result)
    failpoint("inside_result")
    end_attempt(claim.lease.token, "accepted")
    events.record(claim.run_id, "evaluation.done", {**_payload(claim, result)})
    return True


def _write_scores(evaluation_id: int, result: Scored) -> None:
    rows = Score.objects.bulk_create(
        Score(
            evaluation_id=evaluation_id,
            index=index,
            benchmark=objective.spec.name,
            digest=objective.spec.digest,
            scorer=measured.scorer,
            mean=measured.mean,
            low=measured.low,
            high=measured.high,
            n=measured.n,
            right=measured.right,
            in_language=measured.in_language,
            health=measured.health.to_json(),
            concerns=list(measured.health.reasons),
            seconds=measured.seconds,
        )
        for index, (objective, measured) in enumerate(result.parts)
    )
    positions = result.positions or (None,) * len(rows)
    Outcomes.objects.bulk_create(
        Outcomes(score=row, **outcomes.packed(texts.clean_json([o.to_json() for o in measured.outcomes]), asked))
        for row, (_, measured), asked in zip(rows, result.parts, positions, strict=True)
    )


def _is_healthy(result: Scored) -> bool:
    return not any(measured.health.is_bad for _, measured in result.parts)


@around("failure")
@transaction.atomic
def fail(claim: Claim, failure: Failure) -> bool:
    """The candidate's own failure: terminal, with a kind and a sentence. False when fenced."""
    evaluation = _held(claim).first() if _is_heard(claim) else None
    if evaluation is None:
        return _already(claim, "failed") or _fence(claim)
    _fail(evaluation, failure)
    end_attempt(claim.lease.token, "failed", failure.sentence)
    return True


@around("giving_back")
@transaction.atomic
def give_back(claim: Claim, outcome: str, failure: Failure | None = None) -> bool:
    """Not computed after all: pending again. The attempt counts if the worker failed; the third such one is poison."""
    evaluation = _held(claim).first() if _locked(claim) else None
    if evaluation is None:
        return _fence(claim)
    return_to_queue(evaluation, failure)
    failpoint("inside_giving_back")
    end_attempt(claim.lease.token, outcome, failure.sentence if failure else "")
    return True


def return_to_queue(evaluation: Evaluation, failure: Failure | None) -> None:
    """Make a leased evaluation pending, or failed after too many attempts. Call it with the run's row locked."""
    if failure is not None and evaluation.attempts >= MAX_ATTEMPTS:
        sentence = failures.poison(evaluation.attempts, failure.sentence)
        return _fail(evaluation, Failure("candidate", failures.POISON, sentence))
    attempts = evaluation.attempts - (failure is None)
    _leased(evaluation).update(status="pending", lease_until=None, attempts=attempts)


def end_attempt(token: int, outcome: str, error: str = "") -> None:
    """Close the attempt. One that was accepted stays so; one that was given up for lost may still turn out fenced."""
    attempt = Attempt.objects.filter(token=token, outcome__in=("", "lost"))
    attempt.update(outcome=outcome, ended=Now(), error=texts.clean(error))


def _locked(claim: Claim) -> Run | None:
    """Its run, locked; None when it was deleted so long ago that its rows are gone."""
    with suppress(Run.DoesNotExist):
        return transitions.locked(claim.run_id)
    return None


def _is_heard(claim: Claim) -> bool:
    """Whether a result still counts: nothing but probes is computed for a run that has ended. Locks its row."""
    run = _locked(claim)
    return run is not None and (run.state in LIVE or (claim.split == "probe" and run.state in PROBED))


def _held(claim: Claim) -> Any:
    return held(claim.lease)


def _leased(evaluation: Evaluation) -> Any:
    return Evaluation.objects.filter(pk=evaluation.pk, status="leased", lease_token=evaluation.lease_token)


def _already(claim: Claim, status: str) -> bool:
    return Evaluation.objects.filter(pk=claim.evaluation_id, status=status, lease_token=claim.lease.token).exists()


def _fence(claim: Claim) -> bool:
    end_attempt(claim.lease.token, "fenced")
    return False


def _fail(evaluation: Evaluation, failure: Failure) -> None:
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
    events.record(evaluation.run_id, "evaluation.failed", payload)


def _payload(claim: Claim, result: Scored) -> events.ScorePayload:
    return {
        "candidate": claim.candidate_id,
        "name": claim.name,
        "kind": claim.kind,
        "generation": claim.generation,
        "index": claim.index,
        "split": claim.split,
        "fitness": result.fitness,
        "mean": result.mean.mean,
        "low": result.mean.low,
        "high": result.mean.high,
        "n": result.n,
        "is_healthy": _is_healthy(result),
        "number": _number(claim.run_id) if claim.kind == "evolved" and claim.split == "search" else None,
        "seconds": result.merge_seconds + result.evaluate_seconds,
    }


def _number(run_id: UUID) -> int:
    """How many evolved candidates are scored, this one included. The run's row is locked: it is this one's number."""
    return Evaluation.objects.filter(run_id=run_id, split="search", status="done", candidate__kind="evolved").count()
