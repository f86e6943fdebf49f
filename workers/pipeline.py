"""One claimed piece of work from its row to its result: where `merging` and the rows meet. The device computes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection

from merging.benchmarks import BenchmarkSpec, Split
from merging.errors import EvaluationError
from merging.evaluation import Evaluation as Measured
from merging.objectives import Objective
from merging.recipes import Parent, Recipe
from webapp.leases import LEASE
from webapp.library.actions import key_of, what_changed
from webapp.runs import transitions
from webapp.runs.config import RunConfig
from webapp.store import needs
from workers import failures, spool
from workers.events import Progress, Publisher
from workers.failpoints import failpoint
from workers.failures import Failed, Failure
from workers.ledger import claims, results, trials
from workers.ledger.claims import Claim, Lease
from workers.ledger.trials import TrialClaim
from workers.reach import Reach
from workers.runtime import Abandoned, Device, Message, Step
from workers.spool import Kept

RENEW_SECONDS: Final = 5.0
"""A third of the lease would keep it; this is also how soon a stop is noticed."""
GRACE_SECONDS: Final = 5.0
"""How long a worker that was told to end goes on with what it has begun."""
RETRY_SECONDS: Final = 1.0
log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass
class Ending:
    """Whether this worker was told to end, and since when (monotonic). No locks: a signal handler begins it."""

    since: float | None = None

    def begin(self) -> None:
        """Claim nothing more."""
        if self.since is None:
            self.since = time.monotonic()

    @property
    def has_begun(self) -> bool:
        return self.since is not None

    @property
    def is_overdue(self) -> bool:
        """Time to give up what is being computed."""
        return self.since is not None and time.monotonic() - self.since > GRACE_SECONDS


@dataclass
class Bench:
    """What a piece of work needs around it. `reach` knows where files are; `activity` tells what is being done, for `system.Worker`, and
    is empty when idle.
    """

    device: Device
    publisher: Publisher
    ending: Ending
    reach: Reach = field(default_factory=Reach)
    activity: dict[str, object] = field(default_factory=dict)


class Watch:
    """Keeps the lease while the device works, passes progress on, and abandons the work when it is not ours any more."""

    def __init__(self, lease: Lease, ending: Ending, show: Callable[[Step], None]) -> None:
        self._lease, self._ending, self._show = lease, ending, show
        self._renewed = time.monotonic()

    def __call__(self, step: Step | None) -> None:
        if self._ending.is_overdue:
            raise Abandoned
        if time.monotonic() - self._renewed >= RENEW_SECONDS:
            self._renewed = time.monotonic()
            if not if_answered(lambda: claims.renew(self._lease), True):
                raise Abandoned
        if step is not None:
            failpoint("while_computing")
            self._show(step)


def evaluate(claim: Claim, bench: Bench) -> None:
    """Compute one evaluation and write its result, or whatever came of it."""
    config = RunConfig.from_json(claim.config)
    split: Split = "search" if claim.split == "full" or claim.split == "probe" else claim.split

    def request() -> Message:
        return {
            "do": "evaluate",
            "id": claim.lease.token,
            "recipe": bench.reach.recipe(claim.recipe),
            "split": split,
            "asks": [_ask(objective, split, bench.reach) for objective in config.objectives],
            "plan": claim.plan,
        }

    def show(step: Step) -> None:
        progress = Progress(claim.candidate_id, claim.name, claim.split, step.stage, step.done, step.total)
        bench.publisher.progress(claim.run_id, progress)
        bench.activity = {"run": str(claim.run_id), "evaluation": claim.evaluation_id, **asdict(step)}

    try:
        answer = bench.device.work(request(), Watch(claim.lease, bench.ending, show))
        result = _scored(config, answer)
    except Abandoned:
        persist(lambda: results.give_back(claim, "released"), bench.ending)
    except Failed as failed:
        if bench.reach.disowns(failed.failure, claim.run_id, needs.of_run(config)):
            persist(lambda: results.give_back(claim, "released"), bench.ending)
            return
        failure = explained(failed.failure, _models(config))
        log.warning("%s on the %s split, attempt %d: %s", claim.name, claim.split, claim.attempt, failure.sentence)
        persist(lambda: _accept_failure(claim, failure), bench.ending)
    else:
        _finish(claim, result, answer, bench.ending)
        seconds = result.merge_seconds + result.evaluate_seconds
        log.info("%s on the %s split: %.3f in %.1f s", claim.name, claim.split, result.mean.mean, seconds)


def _ask(objective: Objective, split: Split, reach: Reach) -> Message:
    """What the device is to ask. The key of a sealed final split goes with a request for that split and with no other."""
    key = key_of(objective.spec) if split == "final" else None
    return {"benchmark": reach.spec(objective.spec).to_json(), "n": objective.n(split), "key": key}


def try_out(claim: TrialClaim, bench: Bench) -> None:
    """Ask a model a few questions and keep what came of it, or why nothing did."""

    def request() -> Message:
        found = [bench.reach.benchmark(benchmark) for benchmark in claim.benchmarks]
        asks = [{"benchmark": benchmark, "n": claim.n_questions, "key": None} for benchmark in found]
        return {"do": "try", "id": claim.lease.token, "recipe": bench.reach.recipe(claim.recipe), "asks": asks}

    def show(step: Step) -> None:
        if bench.activity.get("stage") != step.stage:
            if_answered(lambda: trials.report_trial(claim, step.stage), None)
        bench.activity = {"trial": str(claim.trial_id), **asdict(step)}

    try:
        answer = bench.device.work(request(), Watch(claim.lease, bench.ending, show))
    except Abandoned:
        persist(lambda: trials.give_back_trial(claim), bench.ending)
    except Failed as failed:
        recipe = Recipe.from_json(claim.recipe)
        specs = [BenchmarkSpec.from_json(benchmark) for benchmark in claim.benchmarks]
        if bench.reach.disowns(failed.failure, claim.trial_id, needs.of_trial(recipe, specs)):
            persist(lambda: trials.give_back_trial(claim), bench.ending)
            return
        failure = explained(failed.failure, recipe.models)
        log.warning("trial %s: %s", claim.trial_id, failure.sentence)
        end = trials.give_back_trial if failure.fault == "worker" else trials.fail_trial
        persist(lambda: end(claim, failure), bench.ending)
    else:
        persist(lambda: trials.finish_trial(claim, answer["tried"], answer["seconds"]), bench.ending)


def explained(failure: Failure, models: Iterable[Parent]) -> Failure:
    """With the file and the tensor that differ, when it is that a model's files have changed."""
    if failure.kind != failures.PARENT:
        return failure
    for model in models:
        if change := if_answered(partial(what_changed, model.folder, model.fingerprint), ""):
            return replace(failure, sentence=f"{failure.sentence} What differs in {model.name}: {change}.")
    return failure


def _models(config: RunConfig) -> Sequence[Parent]:
    return (*config.parents, *([config.base] if config.base else []))


def persist(write: Callable[[], T], ending: Ending) -> T:
    """Write; while the database does not answer, again until the lease is surely gone or this worker ends, and then once more."""
    deadline = time.monotonic() + LEASE.total_seconds()
    while time.monotonic() < deadline and not ending.is_overdue:
        try:
            return write()
        except (OperationalError, InterfaceError) as error:
            log.warning("the database refused a result, trying again: %s", error)
            connection.close()
            time.sleep(RETRY_SECONDS)
    return write()


def deliver() -> int:
    """Write the results that were kept while the database did not answer; how many of them counted.

    Raises what the database raises; what it has not heard of then waits for the next call.
    """
    n_accepted = 0
    for file in spool.waiting():
        with suppress(FileNotFoundError):  # another worker of this data folder was first
            n_accepted += _deliver(file)
            file.unlink()
    return n_accepted


def _finish(claim: Claim, result: results.Scored, answer: Message, ending: Ending) -> None:
    """Write the result; when the database does not answer, keep it in a file for `deliver`, or else in memory while that may help."""
    try:
        results.finish(claim, result)
    except (OperationalError, InterfaceError) as error:
        connection.close()
        log.warning("the database refused a result, which is kept until it answers: %s", error)
        try:
            spool.keep(Kept(claim.run_id, claim.lease.token, answer))
        except OSError as full:
            log.error("a result cannot be kept in %s: %s", spool.folder(), full)
            persist(lambda: results.finish(claim, result), ending)


def _deliver(file: Path) -> bool:
    try:
        kept = Kept.read(file)
        claim = claims.claim_of(kept.run_id, kept.token)
        accepted = claim is not None and results.finish(claim, _scored(RunConfig.from_json(claim.config), kept.answer))
    except (KeyError, TypeError, ValueError, Failed):
        log.exception("the result in %s cannot be read: it is removed, and computed again", file.name)
        return False
    log.warning("the result in %s %s", file.name, "is accepted" if accepted else "came too late: it is computed again")
    return accepted


def _scored(config: RunConfig, answer: dict[str, Any]) -> results.Scored:
    """The answer with its fitness. A number that is not finite is the candidate's failure."""
    try:
        measured = [Measured.from_json(score) for score in answer["scores"]]
        seconds = answer["merge_seconds"], answer["evaluate_seconds"]
        return results.scored(config.objectives, measured, *seconds, positions=answer["positions"])
    except EvaluationError as error:
        raise Failed(failures.of_error(error)) from error


def _accept_failure(claim: Claim, failure: Failure) -> bool:
    if failure.fault == "candidate":
        return results.fail(claim, failure)
    if failure.fault == "run" and not transitions.is_over(claim.run_id):
        return results.give_back(claim, "released") and _pause(claim.run_id, failure)
    return results.give_back(claim, "hung" if failure.kind == failures.HUNG else "lost", failure)


def _pause(run_id: UUID, failure: Failure) -> bool:
    """Nothing of the run can be computed until somebody mends it."""
    after = "Mend it and resume." if failure.needs_bytes is None else "The run then goes on by itself."
    return transitions.pause(run_id, f"{failure.sentence} {after}", failure.needs_bytes)


def if_answered(ask: Callable[[], T], otherwise: T) -> T:
    """A database that does not answer has not said no: the work is worth finishing."""
    try:
        return ask()
    except (OperationalError, InterfaceError) as error:
        log.warning("the database does not answer: %s", error)
        connection.close()
        return otherwise
