"""The database goes away while something is computed: what was finished meanwhile is kept, and accepted or fenced when it is back."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import OperationalError, connection
from pytest_django import DjangoDbBlocker

from tests.ledger import world
from tests.ledger.test_claims import expire
from tests.testenv import FAST
from tests.workers.conftest import Staff, has_ended, wait_for
from tests.workers.fake_worker import LEASE
from webapp.runs.models import Attempt, Evaluation, Run
from webapp.system.embedded import Postgres
from webapp.system.processes import Child
from workers import pipeline, spool
from workers.ledger import repairs, results
from workers.pipeline import Ending
from workers.spool import Kept
from workers.supervisor import Supervisor

MAX_CONNECTIONS = 20


class OwnPostgres:
    """A server for one test, which may be stopped and started."""

    def __init__(self, folder: Path) -> None:
        self.sockets = folder / "s"
        self.sockets.mkdir(mode=0o711)
        self._log = folder / "postgres.log"
        self._server = Postgres(folder, self.sockets, {**FAST, "max_connections": str(MAX_CONNECTIONS)})
        self._child: Child | None = None

    def start(self) -> None:
        self._child = self._server.start(self._log, lambda: False)

    def stop(self) -> None:
        if self._child:
            self._child.stop()


@contextmanager
def place_for_a_server() -> Iterator[Path]:
    """A folder with a short name that its user may enter."""
    found = Path(tempfile.mkdtemp(prefix="progeny-outage-"))
    found.chmod(0o755)
    yield found
    shutil.rmtree(found, ignore_errors=True)


@contextmanager
def serving(server: OwnPostgres, blocker: DjangoDbBlocker) -> Iterator[None]:
    """Everybody here asks this server."""
    server.start()
    everywhere = connection.settings_dict  # one for all threads
    usual = dict(everywhere)
    connection.close()
    everywhere.update(HOST=str(server.sockets / "postgres"), NAME="postgres")
    with blocker.unblock():
        yield
        connection.close()
    everywhere.update(usual)
    server.stop()


@pytest.fixture(scope="module")
def cluster(django_db_blocker: DjangoDbBlocker) -> Iterator[Path]:
    """The files of a server with all tables: to copy them is quicker than to make them."""
    with place_for_a_server() as folder:
        with serving(OwnPostgres(folder), django_db_blocker):
            call_command("migrate", verbosity=0)
        yield folder / "postgres"


@pytest.fixture
def folder() -> Iterator[Path]:
    with place_for_a_server() as found:
        yield found


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """The server's folder is a disk of its own that is easily full."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=160m,mode=755", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def postgres(cluster: Path, folder: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[OwnPostgres]:
    subprocess.run(["cp", "-a", cluster, folder], check=True)
    server = OwnPostgres(folder)
    with serving(server, django_db_blocker):
        yield server


@pytest.fixture
def lone_staff(postgres: OwnPostgres, tmp_path: Path) -> Iterator[Staff]:
    staff = Staff(tmp_path)
    yield staff
    staff.end()


def stored() -> list[Path]:
    return list(spool.folder().glob("*.json"))


@pytest.mark.parametrize("is_killed", [False, True])
def test_what_was_finished_while_the_database_was_away_counts(
    postgres: OwnPostgres, lone_staff: Staff, tmp_path: Path, settings: Any, is_killed: bool
) -> None:
    """The outage is longer than the lease. Killed or not, the result is there when the database is."""
    settings.DATA_DIR = tmp_path
    run = world.launch(User.objects.create(username="owner"), tmp_path, budget=8)
    lone_staff.write_plan(seconds=1.0)
    worker = lone_staff.fork("w1")
    wait_for(lambda: Attempt.objects.exists())
    token = Attempt.objects.get().token
    connection.close()
    postgres.stop()
    wait_for(stored)
    assert [file.stem for file in stored()] == [str(token)]
    if is_killed:
        os.kill(worker.pid or 0, signal.SIGKILL)
        worker.join()
    else:
        time.sleep(LEASE.total_seconds())
    postgres.start()
    lone_staff.write_plan()
    if is_killed:
        lone_staff.fork("w2")
    wait_for(lambda: has_ended(run), 60)
    assert Attempt.objects.get(token=token).outcome == "accepted"
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"accepted"}
    assert stored() == []
    assert world.populations(run) == world.uninterrupted(run)
    world.check(run)


def test_a_worker_that_gets_no_connection_waits_for_one(
    postgres: OwnPostgres, lone_staff: Staff, tmp_path: Path
) -> None:
    run = world.launch(User.objects.create(username="owner"), tmp_path, budget=8)
    given = connection.get_connection_params()
    wanted = {name: given[name] for name in ("dbname", "user", "host")}
    log = lone_staff.folder / "w1.log"
    with contextlib.ExitStack() as others:
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                others.enter_context(psycopg.connect(**wanted))
        worker = lone_staff.fork("w1")
        wait_for(lambda: log.exists() and "too many clients" in log.read_text())
        assert not Attempt.objects.exists()
    began = time.monotonic()
    wait_for(lambda: Attempt.objects.exists())
    assert time.monotonic() - began < 10
    wait_for(lambda: has_ended(run), 60)
    assert worker.is_alive()
    assert "Traceback" not in log.read_text()
    world.check(run)


@pytest.mark.slow
def test_a_database_whose_disk_is_full_is_waited_for(
    small_disk: Path, postgres: OwnPostgres, lone_staff: Staff, tmp_path: Path
) -> None:
    run = world.launch(User.objects.create(username="owner"), tmp_path, budget=8)
    lone_staff.write_plan(seconds=0.3)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE filler (text text); ALTER TABLE filler ALTER text SET STORAGE PLAIN")
        worker = lone_staff.fork("w1")
        wait_for(lambda: Attempt.objects.exists())
        filling = small_disk / "filling"
        with filling.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(2**16))
        with pytest.raises(OperationalError, match="No space left on device"):
            while True:
                cursor.execute("INSERT INTO filler SELECT repeat('x', 7000) FROM generate_series(1, 9)")
    time.sleep(2 * LEASE.total_seconds())
    assert worker.is_alive()
    filling.unlink()
    wait_for(lambda: has_ended(run), 60)
    assert "Traceback" not in (lone_staff.folder / "w1.log").read_text()
    assert world.populations(run) == world.uninterrupted(run)
    world.check(run)


def answer(mean: float = 0.4) -> dict[str, Any]:
    """What a device would have said."""
    from tests.ledger.scores import score

    return {
        "scores": [score("search", mean).to_json()],
        "positions": None,
        "merge_seconds": 0.1,
        "evaluate_seconds": 0.2,
    }


@pytest.fixture
def place(settings: Any, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    return spool.folder()


def test_a_kept_result_is_accepted_once(run: Run, place: Path) -> None:
    claim = world.take()
    for _ in range(2):
        spool.keep(Kept(run.pk, claim.lease.token, answer()))
        assert pipeline.deliver() == 1
    evaluation = Evaluation.objects.get(pk=claim.evaluation_id)
    assert (evaluation.status, evaluation.mean, evaluation.merge_seconds) == ("done", 0.4, 0.1)
    assert spool.waiting() == []
    world.check(run)


def test_a_kept_result_is_fenced_when_the_work_has_another_holder(run: Run, place: Path) -> None:
    claim = world.take("w1")
    spool.keep(Kept(run.pk, claim.lease.token, answer()))
    expire(claim.evaluation_id)
    repairs.reap()
    again = world.take("w2")
    assert pipeline.deliver() == 0
    assert Attempt.objects.get(token=claim.lease.token).outcome == "fenced"
    assert spool.waiting() == []
    assert world.finish(again)
    world.check(run)


def test_a_kept_result_waits_for_the_database(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool.keep(Kept(run.pk, world.take().lease.token, answer()))
    with monkeypatch.context() as patched:
        patched.setattr(results, "finish", _away)
        with pytest.raises(OperationalError):
            pipeline.deliver()
    assert len(spool.waiting()) == 1
    assert pipeline.deliver() == 1


@pytest.mark.parametrize("content", ["", "[1]", '{"run": "0"}', '{"token": 1, "answer": {}}'])
def test_a_file_that_holds_no_result_is_removed(run: Run, place: Path, content: str) -> None:
    place.mkdir()
    (place / "7.json").write_text(content)
    assert pipeline.deliver() == 0
    assert spool.waiting() == []


def test_a_result_of_another_database_counts_for_nothing_here(run: Run, place: Path) -> None:
    claim = world.take()
    spool.keep(Kept(Run().pk, claim.lease.token, answer()))
    assert pipeline.deliver() == 0
    assert Evaluation.objects.get(pk=claim.evaluation_id).status == "leased"


def test_without_room_for_the_file_the_result_stays_in_memory(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = world.take()
    tries = iter([_away, _away, results.finish])
    monkeypatch.setattr(results, "finish", lambda *arguments: next(tries)(*arguments))
    monkeypatch.setattr(pipeline, "RETRY_SECONDS", 0.0)
    place.write_text("a file where the folder would be")
    pipeline._finish(claim, world.result(claim, 0.4), answer(), Ending())
    assert Evaluation.objects.get(pk=claim.evaluation_id).status == "done"


def test_a_file_is_complete_or_absent(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        spool.keep(Kept(Run().pk, 1, answer()))
    assert list(place.iterdir()) == []


def test_what_a_kill_left_half_written_is_swept_and_what_is_being_written_is_not(run: Run, place: Path) -> None:
    place.mkdir()
    old, young = place / "2.part", place / "3.part"
    for part in (old, young):
        part.write_text("{")
    long_ago = time.time() - spool.ABANDONED_SECONDS - 1
    os.utime(old, (long_ago, long_ago))
    Supervisor("w1", ()).reconcile()
    assert list(place.iterdir()) == [young]


def test_files_are_flushed_before_they_have_their_name(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: seen.append(sorted(file.name for file in place.iterdir())))
    spool.keep(Kept(Run().pk, 1, answer()))
    assert seen == [["1.part"], ["1.json"]]
    assert json.loads((place / "1.json").read_text())["answer"] == answer()


def _away(*_: object) -> bool:
    raise OperationalError("the connection is lost")
