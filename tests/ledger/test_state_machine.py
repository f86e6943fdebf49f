"""Random sequences of what people do with runs and what workers do meanwhile: after every step the invariants hold, and in the end each
run that was neither deleted nor stopped early comes to what it would have come to without any of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import F, Q
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

from tests.ledger import world
from tests.ledger.test_claims import expire
from webapp.runs import actions, invariants, transitions
from webapp.runs.config import RunConfig
from webapp.runs.models import ENDED, Evaluation, Run
from workers.failures import Failure
from workers.ledger import claims, generations, housekeeping, repairs, results
from workers.ledger.claims import Claim
from workers.ledger.searches import Searches

pytestmark = pytest.mark.django_db
UNSCORABLE = Failure("candidate", "tensor", "q_proj holds NaN")
HUNG = Failure("worker", "hung", "No progress for 600 s.")
MAX_RUNS = 2
ROOMY = 0


class Ledger(RuleBasedStateMachine):
    """People and workers that act in any order. Every worker computes one evaluation; some come back long after they were given up.

    `intents` is the last of a person's wishes that was granted, by run; `accepted` what was told of every result that counted.
    """

    config: ClassVar[RunConfig]
    owner: ClassVar[User]
    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Run] = []
        self.intents: dict[object, str] = {}
        self.accepted: dict[int, tuple[int, float]] = {}
        self.memories = [Searches(), Searches()]
        self.n_workers = 0
        self.undone = transaction.atomic()
        self.undone.__enter__()
        connection.cursor().execute("SET LOCAL idle_in_transaction_session_timeout = 0")  # a busy machine is no defect

    def teardown(self) -> None:
        try:
            self.come_to_an_end()
        finally:
            transaction.set_rollback(True)
            self.undone.__exit__(None, None, None)

    @rule(seed=st.integers(0, 3), steady=st.booleans())
    def launch(self, seed: int, steady: bool) -> None:
        if len(self.runs) < MAX_RUNS:
            self.runs.append(actions.launch(self.owner, replace(self.config, seed=seed, steady=steady), "a run"))

    @rule(which=st.integers(0, MAX_RUNS - 1), wish=st.sampled_from(["pause", "resume", "stop", "delete"]))
    def wish(self, which: int, wish: str) -> None:
        for run in self.runs[which : which + 1]:
            if getattr(actions, wish)(run):
                self.intents[run.pk] = wish

    @rule(target=held)
    def claim(self) -> Claim | None:
        self.n_workers += 1
        found = claims.claim(f"w{self.n_workers}", "test")
        if found:
            assert self.intents.get(found.run_id) not in ("pause", "delete")
        return found

    @rule(claim=held)
    def renew(self, claim: Claim | None) -> None:
        if claim and self.intents.get(claim.run_id) == "delete":
            assert not claims.renew(claim.lease)

    @rule(claim=held)
    def finish(self, claim: Claim | None) -> None:
        """Also a second time, and by workers whose work has another holder."""
        if claim and world.finish(claim):
            assert self.intents.get(claim.run_id) != "delete" or claim.evaluation_id in self.accepted
            known = self.accepted.setdefault(claim.evaluation_id, (claim.lease.token, _score(claim)))
            assert known[0] == claim.lease.token

    @rule(claim=consumes(held))
    def fail(self, claim: Claim | None) -> None:
        if claim:
            results.fail(claim, UNSCORABLE)

    @rule(claim=consumes(held), failure=st.sampled_from([None, HUNG]))
    def give_back(self, claim: Claim | None, failure: Failure | None) -> None:
        if claim:
            results.give_back(claim, "hung" if failure else "released", failure)

    @rule(claim=held)
    def vanish(self, claim: Claim | None) -> None:
        """Its worker is not heard of for longer than the lease; it may still come back."""
        if claim and Evaluation.objects.filter(pk=claim.evaluation_id, lease_token=claim.lease.token, status="leased"):
            expire(claim.evaluation_id)

    @rule()
    def reap(self) -> None:
        repairs.reap()

    @rule(which=st.integers(0, MAX_RUNS - 1))
    def find_the_disk_full(self, which: int) -> None:
        for run in self.runs[which : which + 1]:
            if transitions.pause(run.pk, "The disk is full.", ROOMY):
                self.intents[run.pk] = "pause"

    @rule()
    def find_room(self) -> None:
        for run_id in housekeeping.resume_where_there_is_room():
            self.intents[run_id] = "resume"

    @rule(worker=st.integers(0, 1))
    def advance(self, worker: int) -> None:
        for run_id in generations.due():
            generations.advance(run_id, self.memories[worker])

    @rule(worker=st.integers(0, 1), n=st.integers(1, 12))
    def work(self, worker: int, n: int) -> None:
        """Without any trouble, so that sequences get somewhere."""
        for _ in range(n):
            self.advance(worker)
            claim = self.claim()
            self.finish(claim)

    @rule(worker=st.integers(0, 1))
    def start_anew(self, worker: int) -> None:
        """It has forgotten its searches."""
        self.memories[worker] = Searches()

    @invariant()
    def the_rows_are_sound(self) -> None:
        assert invariants.violations() == []
        for run in self.runs:
            run.refresh_from_db()
            _check_intent(run, self.intents.get(run.pk, ""))
        for pk, (token, score) in self.accepted.items():
            assert Evaluation.objects.filter(pk=pk, status="done", lease_token=token, mean=score).exists()

    def come_to_an_end(self) -> None:
        """Whatever happened, a run can be ended by workers alone once nobody holds it."""
        for run in self.runs:
            transitions.resume(run.pk)
            Evaluation.objects.filter(run=run, status="leased").update(lease_until=run.created)
            repairs.reap()
        for run in self.runs:
            _end(run, self.memories[0])
            assert run.state in ENDED, run.state
            if not _lost_a_generation(run):
                assert world.populations(run) == world.uninterrupted(run)[: run.generations.count()]
        assert invariants.deep_violations() == []


def _score(claim: Claim) -> float:
    return Evaluation.objects.values_list("mean", flat=True).get(pk=claim.evaluation_id) or 0.0


def _lost_a_generation(run: Run) -> bool:
    """All candidates of one failed, or all that were to be told with it, so that the search was told nothing."""
    is_over = Q(generation__closed__isnull=False)
    went_on = Q(generation__number__lt=run.generations.count() - 1, index__lt=F("generation__ahead_from"))
    return run.candidates.filter(is_over | went_on, told=None).exists()


def _check_intent(run: Run, intent: str) -> None:
    """The last wish that was granted is how it stands."""
    assert intent != "pause" or run.state in ("pausing", "paused")
    assert intent != "resume" or run.state not in ("pausing", "paused") or run.message
    assert intent not in ("stop", "delete") or run.state in ("finishing", *ENDED)
    assert (intent == "delete") == (run.deleted_at is not None)


def _end(run: Run, memory: Searches) -> None:
    """Work it off; what fails as a whole generation pauses it, and is resumed."""
    for _ in range(10):
        world.work(run, memory)
        if run.state in ENDED or run.deleted_at:
            return
        transitions.resume(run.pk)


@pytest.fixture
def ledger(owner: User, tmp_path: Path) -> Iterator[type[Ledger]]:
    Ledger.owner, Ledger.config = owner, world.config(tmp_path, budget=8, population_size=4)
    yield Ledger


def explore(ledger: type[Ledger], n_sequences: int, n_steps: int) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(
        ledger,
        settings=settings(
            max_examples=n_sequences,
            stateful_step_count=n_steps,
            deadline=None,
            suppress_health_check=checks,
            database=None,
        ),
    )


@pytest.mark.timeout(600)
def test_no_sequence_of_actions_breaks_the_ledger(ledger: type[Ledger]) -> None:
    explore(ledger, n_sequences=12, n_steps=15)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_no_sequence_of_thousands_breaks_the_ledger(ledger: type[Ledger]) -> None:
    explore(ledger, n_sequences=2000, n_steps=40)
