"""Clocks that jump and sessions that hang: the database's clock alone decides leases, and nobody waits for ever."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.db.models import F

from merging.recipes import passthrough_recipe
from tests.ledger import world
from webapp.leases import LEASE, Leased
from webapp.library.models import Fetch
from webapp.runs import transitions
from webapp.runs.models import Attempt, Evaluation, Run
from webapp.system import metrics
from webapp.trials import actions as trying
from webapp.trials.models import Trial
from workers.ledger import claims, generations, repairs
from workers.ledger.claims import Lease, held
from workers.ledger.leases import claim_oldest

DAY = 86_400.0


@pytest.mark.django_db
@pytest.mark.parametrize("jump", [DAY, -DAY, 3600.0, -3600.0])
def test_the_clock_of_a_worker_may_jump(run: Run, monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    """Its lease neither ends early nor lives on."""
    usual = time.time
    claim = world.take("w1")
    monkeypatch.setattr(time, "time", lambda: usual() + jump)
    assert claims.renew(claim.lease)
    assert repairs.reap() == 0
    row = Evaluation.objects.annotate(left=F("lease_until") - F("all_attempts__started")).get(pk=claim.evaluation_id)
    assert timedelta(0) < row.left <= LEASE + timedelta(seconds=30)
    assert world.finish(claim)
    world.work(run)
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"accepted"}
    assert world.populations(run) == world.uninterrupted(run)


JUMPS = pytest.mark.parametrize("jump", [timedelta(days=1), timedelta(days=-1)])


@pytest.mark.django_db
@JUMPS
def test_when_the_clock_of_the_database_jumps_a_lease_is_given_back_and_its_holder_fenced(
    run: Run, jump: timedelta
) -> None:
    """Forwards all leases seem to be over. Backwards a dead holder's would last a day."""
    claim = world.take("w1")
    Evaluation.objects.filter(pk=claim.evaluation_id).update(lease_until=F("lease_until") - jump)
    assert repairs.reap() == 1
    again = world.take("w2")
    assert again.evaluation_id == claim.evaluation_id
    assert not world.finish(claim) and world.finish(again)
    world.check(run)


@pytest.fixture
def waiting(owner: User, tmp_path: Path) -> dict[type[Leased], Leased]:
    """One row of each kind that is of no run."""
    chosen = world.config(tmp_path)
    trial = trying.start(owner, passthrough_recipe(chosen.parents[0]), [chosen.objectives[0].spec], "a")
    return {Trial: trial, Fetch: Fetch.objects.create(owner=owner, task="sums", metric="exact_match")}


@pytest.mark.django_db
@pytest.mark.parametrize("rows", [Trial, Fetch])
@JUMPS
def test_what_is_of_no_run_is_claimed_again_when_that_clock_jumps(
    waiting: dict[type[Leased], Leased], rows: type[Leased], jump: timedelta
) -> None:
    first = claim_oldest(rows, "w1")
    assert first and claim_oldest(rows, "w2") is None
    jumped(first, jump)
    again = claim_oldest(rows, "w2")
    assert again and again.token > first.token
    assert not claims.renew(first) and claims.renew(again)


@pytest.mark.django_db
@JUMPS
def test_a_run_pauses_although_that_clock_was_set_back_under_who_computed_for_it(run: Run, jump: timedelta) -> None:
    claim = world.take()
    transitions.pause(run.pk)
    assert generations.due() == []
    jumped(claim.lease, jump)
    assert generations.due() == [run.pk]
    assert transitions.settle(run.pk)


@pytest.mark.django_db
def test_every_lease_is_counted_and_says_whether_it_holds(run: Run, waiting: dict[type[Leased], Leased]) -> None:
    leases = [world.take().lease, *(claim_oldest(rows, "w1") for rows in waiting)]
    assert 'progeny_leases{state="live"} 3.0' in metrics.text().decode()
    jumped(leases[-1], timedelta(days=-1))
    found = metrics.text().decode()
    assert 'progeny_leases{state="live"} 2.0' in found and 'progeny_leases{state="expired"} 1.0' in found


def jumped(lease: Lease | None, jump: timedelta) -> None:
    """As if the database's clock had moved by so much since."""
    assert lease and held(lease).update(lease_until=F("lease_until") - jump) == 1


@pytest.fixture
def frozen(transactional_db: None) -> Iterator[psycopg.Connection]:
    """A session that can be left in the middle of a transaction, with the settings of all others but for shorter waits."""
    given = connection.get_connection_params()
    options = f"{given['options']} -c idle_in_transaction_session_timeout=1s"
    wanted = {name: given[name] for name in ("dbname", "user", "host")}
    with psycopg.connect(**wanted, options=options, autocommit=False) as session:
        yield session
        session.close()


def hold(session: psycopg.Connection, run: Run) -> None:
    session.execute("SELECT id FROM runs_run WHERE id = %s FOR UPDATE", [run.pk])


def wait_at_most(milliseconds: int) -> None:
    """For locks, in this session."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = {milliseconds}")


def test_a_session_that_froze_over_a_run_does_not_hold_up_the_others(
    frozen: psycopg.Connection, tmp_path: Path
) -> None:
    owner = User.objects.create(username="owner")
    stuck, other = world.launch(owner, tmp_path), world.launch(owner, tmp_path, seed=8)
    hold(frozen, stuck)
    wait_at_most(100)
    assert [world.take().run_id for _ in range(2)] == [other.pk, other.pk]
    time.sleep(1.2)  # the server ends a session that does nothing in a transaction
    assert world.take().run_id == stuck.pk
    with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
        frozen.execute("SELECT 1")
    connection.close()


def test_leases_of_other_runs_end_meanwhile(frozen: psycopg.Connection, tmp_path: Path) -> None:
    owner = User.objects.create(username="owner")
    stuck, other = world.launch(owner, tmp_path), world.launch(owner, tmp_path, seed=8)
    for claim in (world.take(), world.take()):
        jumped(claim.lease, timedelta(days=1))
    hold(frozen, stuck)
    wait_at_most(100)
    assert repairs.reap() == 1
    assert not other.evaluations.filter(status="leased").exists()
    connection.close()


def test_when_every_run_is_held_there_is_nothing_to_claim(frozen: psycopg.Connection, tmp_path: Path) -> None:
    run = world.launch(User.objects.create(username="owner"), tmp_path)
    hold(frozen, run)
    wait_at_most(100)
    assert claims.claim("w1", "test") is None
    connection.close()


@pytest.mark.django_db
def test_another_trouble_of_the_database_is_not_taken_for_a_lock(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object) -> None:
        raise OperationalError("the connection is lost")

    monkeypatch.setattr(claims, "_claim_of", lost)
    with pytest.raises(OperationalError, match="lost"):
        claims.claim("w1", "test")


@pytest.mark.django_db
def test_no_session_waits_or_idles_for_long() -> None:
    shown = {}
    with connection.cursor() as cursor:
        for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            cursor.execute(f"SHOW {name}")
            shown[name] = cursor.fetchone()[0]
    assert shown == {"statement_timeout": "10s", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "15s"}
