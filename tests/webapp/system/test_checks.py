"""What is said of database, queue, workers, ledger and disk: to machines in three words, to people with what to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.db.models.functions import Now
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from webapp.env import SetupError
from webapp.runs.invariants import Violation
from webapp.system import checks, metrics, servers
from webapp.system.models import Worker
from webapp.system.servers import Postgres, Queue

SOUND = Postgres("18.4", 18, True, True, True, 100, 5)
LOST = Violation("accepted_once", "Work that is done has one accepted attempt.", 3, ("evaluation 1 of run 2",))


@pytest.fixture
def sound_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database of the tests is not: it would lose everything in a power cut."""
    monkeypatch.setattr(servers, "postgres", lambda: SOUND)


def a_worker(ready: bool = True) -> None:
    Worker.objects.create(name="w", device="CPU", code_version="1", started=Now(), seen=Now(), ready=ready)


def test_a_machine_may_ask_without_signing_in_and_hears_nothing_but_how_things_are(
    stranger_client: Client, sound_database: None
) -> None:
    a_worker()
    answer = stranger_client.get("/healthz")
    well = dict.fromkeys(("status", "database", "queue", "workers", "ledger", "disk"), "ok")
    assert (answer.status_code, answer.json()) == (200, well)
    assert "no-store" in answer["Cache-Control"]


def test_a_data_folder_that_is_gone_is_said_and_no_page_falls_over_it(
    owner_client: Client, settings: Any, tmp_path: Path
) -> None:
    settings.DATA_DIR = tmp_path / "not mounted"
    assert owner_client.get("/healthz").json()["disk"] == "failing"
    assert b"disk_bytes" not in metrics.text()
    for address in ("/", "/system/", "/system/?tab=health", "/runs/new/"):
        assert "no data folder" in owner_client.get(address).content.decode()


def test_health_holds_without_the_queue(stranger_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    answer = stranger_client.get("/healthz")
    assert (answer.status_code, answer.json()["queue"], answer.json()["status"]) == (200, "failing", "failing")


def test_health_does_not_hold_without_the_database(stranger_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> Postgres:
        raise OperationalError("connection refused")

    monkeypatch.setattr(servers, "postgres", away)
    answer = stranger_client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json().keys() == {"status", "database", "queue", "disk"}


def test_a_worker_that_loads_is_not_yet_one_that_works(db: None) -> None:
    a_worker(ready=False)
    [found] = [check for check in checks.checks() if check.name == "Workers"]
    assert (found.state, found.found) == ("warning", "starting")


def test_a_broken_invariant_is_named_to_people_and_fails_the_check(
    owner_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "violations", lambda: [LOST])
    page = owner_client.get("/system/").content.decode()
    assert "accepted_once (3)" in page
    assert "./progeny fsck" in page
    assert owner_client.get("/healthz").json()["ledger"] == "failing"


def test_the_ledger_is_asked_once_a_minute_however_often_a_probe_comes(
    db: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    checks.ledger()
    with django_assert_num_queries(0):
        assert checks.ledger().state == "ok"


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
def test_a_database_that_loses_results_in_a_power_cut_is_said_on_the_page(
    owner_client: Client, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setattr(servers, "postgres", lambda: replace(SOUND, **{setting: False}))
    assert f"switch on {setting} in Postgres" in owner_client.get("/system/").content.decode()


def test_connections_that_run_out_are_said_before_they_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "postgres", lambda: replace(SOUND, n_connections=95))
    assert "max_connections" in checks.database().advice


@pytest.mark.parametrize(
    ("policy", "max_bytes", "n_faults"), [("noeviction", 8, 0), ("allkeys-lru", 8, 1), ("allkeys-lru", 0, 0)]
)
def test_a_queue_that_throws_away_when_it_is_full_is_a_fault(policy: str, max_bytes: int, n_faults: int) -> None:
    assert len(Queue("Valkey", "9", policy, max_bytes).faults()) == n_faults


def test_our_own_connections_commit_for_good_whatever_the_server_does_by_default(db: None) -> None:
    assert servers.postgres().synchronous_commit  # the tests' server has it off


def test_at_start_faults_are_said_and_an_old_database_is_refused(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(servers.connection, "close", lambda: None)
    servers.check_at_start(said.append)
    assert [line for line in said if line.startswith("warning: ") and "fsync and full_page_writes" in line]
    monkeypatch.setattr(servers, "postgres", lambda: replace(SOUND, version="12.1", major=12))
    with pytest.raises(SetupError, match=r"Postgres 12\.1 is too old"):
        servers.check_at_start(said.append)


def test_a_server_that_does_not_answer_yet_is_waited_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> Postgres:
        raise OperationalError("connection refused")

    monkeypatch.setattr(servers, "postgres", away)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    servers.check_at_start(pytest.fail)
