"""What a worker does about requests to fetch: one process at a time, looked after, ended with its request or its worker."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from tests.conftest import wait_for
from webapp.leases import MAX_ATTEMPTS
from webapp.library.fetches import request_list
from webapp.library.models import Fetch
from workers.aside import FETCH, Aside
from workers.ledger.claims import Lease

WAITS = (sys.executable, "-c", "import time; time.sleep(60)")
ENDS = (sys.executable, "-c", "")


@pytest.fixture
def wanted(owner: User) -> Fetch:
    return request_list(owner)


def fetching_by(worker: str, command: Sequence[str]) -> Aside:
    """A worker's fetching, by another command."""
    return Aside(worker, replace(FETCH, command=lambda lease: command))


def status() -> str:
    return Fetch.objects.get().status


def test_a_request_is_begun_once_and_given_back_at_the_end(wanted: Fetch) -> None:
    first, second = fetching_by("first", WAITS), fetching_by("second", ENDS)
    first.look()
    second.look()
    assert status() == "leased" and Fetch.objects.get().lease_owner == "first"
    first.close()
    wanted.refresh_from_db()
    assert (wanted.status, wanted.attempts) == ("pending", 0)


def test_a_request_that_is_taken_back_ends_its_process(wanted: Fetch, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    fetching = fetching_by("worker", (sys.executable, "-c", code))
    fetching.look()
    wait_for(lambda: pid.is_file() and pid.read_text() != "", "the process has started")
    wanted.delete()
    fetching.look()
    assert not Path(f"/proc/{pid.read_text()}").exists()


def test_a_process_that_says_nothing_is_tried_again_and_then_no_more(wanted: Fetch) -> None:
    fetching = fetching_by("worker", ENDS)
    for _ in range(MAX_ATTEMPTS):
        fetching.look()
        assert status() == "leased"
        wait_for(lambda: (fetching.look(), status() != "leased")[1], "the process has ended and that was noticed")
    assert status() == "failed" and "without a word" in Fetch.objects.get().failure


def test_an_expired_lease_is_another_s_to_take(wanted: Fetch) -> None:
    Fetch.objects.update(status="leased", lease_token=1, lease_until="2000-01-01T00:00Z", lease_owner="gone")
    fetching = fetching_by("worker", WAITS)
    fetching.look()
    assert Fetch.objects.get().lease_owner == "worker"
    fetching.close()


def test_a_request_that_ends_its_workers_is_given_up(wanted: Fetch) -> None:
    facts = {"status": "leased", "lease_token": 1, "lease_until": "2000-01-01T00:00Z"}
    Fetch.objects.update(**facts, attempts=MAX_ATTEMPTS)
    fetching_by("worker", WAITS).look()
    assert status() == "failed" and "without a word" in Fetch.objects.get().failure


def test_the_process_is_the_terminal_s_own_command() -> None:
    assert FETCH.command(Lease(Fetch, 7, 9))[1:][-4:] == ("fetch", "--request", "7", "9")
