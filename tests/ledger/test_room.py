"""A run that finds the disk full pauses, says what is needed and what is free, and goes on by itself when there is room again."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest

from merging.errors import RoomError
from tests.ledger import world
from webapp.runs import transitions
from webapp.runs.models import Run
from workers import failures, pipeline
from workers.ledger import claims, housekeeping

pytestmark = pytest.mark.django_db
NEEDED = 1_300_000_000


def fill(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """So much is free in the data folder."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))


@pytest.fixture
def full_run(run: Run) -> Run:
    """One whose candidate has met a full disk."""
    claim = world.take()
    assert pipeline._accept_failure(claim, failures.of_error(RoomError("/data", NEEDED, 12_000_000)))
    run.refresh_from_db()
    return run


def test_it_pauses_and_says_what_is_needed_and_what_is_free(full_run: Run) -> None:
    assert (full_run.state, full_run.needs_bytes) == ("paused", NEEDED)
    assert full_run.message == (
        "The disk is full: 1.3 GB are needed in /data, and 12.0 MB are free. Remove what is not needed there. "
        "The run then goes on by itself."
    )
    assert claims.claim("w1", "test") is None
    assert set(full_run.evaluations.values_list("status", "attempts")) == {("pending", 0)}
    world.check(full_run)


def test_it_goes_on_by_itself_as_soon_as_there_is_room(full_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(monkeypatch, NEEDED - 1)
    assert housekeeping.resume_where_there_is_room() == []
    fill(monkeypatch, NEEDED)
    assert housekeeping.resume_where_there_is_room() == [full_run.pk]
    full_run.refresh_from_db()
    assert (full_run.state, full_run.message, full_run.needs_bytes) == ("running", "", None)
    world.work(full_run)
    assert world.populations(full_run) == world.uninterrupted(full_run)
    world.check(full_run)


def test_what_a_person_paused_stays_paused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    transitions.pause(run.pk)
    fill(monkeypatch, NEEDED)
    assert housekeeping.resume_where_there_is_room() == []


def test_what_a_person_stops_meanwhile_stays_stopped(full_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    transitions.stop(full_run.pk)
    fill(monkeypatch, NEEDED)
    assert housekeeping.resume_where_there_is_room() == []
    full_run.refresh_from_db()
    assert (full_run.state, full_run.needs_bytes) == ("stopped", None)
