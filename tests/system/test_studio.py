"""The studio for real: it serves, refuses what it must, keeps what it has, and leaves no process behind whenever it is stopped."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from pathlib import Path

import psycopg
import pytest

from tests.conftest import PATIENCE, wait_for
from tests.system.studios import READY, left_behind, manage, studio
from webapp.env import socket_folder

pytestmark = pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="looks for processes in /proc")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def sql(data: Path, statement: str) -> list[tuple[object, ...]]:
    """What a statement gives in the studio's database."""
    with psycopg.connect(
        host=f"{socket_folder(data)}/postgres", user="progeny", dbname="postgres", autocommit=True
    ) as connection:
        cursor = connection.execute(statement)  # type: ignore[call-overload]
        return list(cursor) if cursor.description else []


def test_a_life_of_two_starts(data: Path, tmp_path: Path) -> None:
    with studio(data, tmp_path / "first.log") as first:
        first.wait_for_output(READY)
        with urllib.request.urlopen(first.url, timeout=PATIENCE) as page:
            assert page.status == 200
            assert "default-src 'self'" in page.headers["Content-Security-Policy"]
        sql(data, "CREATE TABLE kept AS SELECT 17 AS number")

        refused = manage(data, "studio", "--port", "1")
        assert refused.returncode == 1
        assert refused.stderr.count("\n") == 1
        assert f"http://127.0.0.1:{first.port}" in refused.stderr

        refused = manage(tmp_path / "other", "studio", "--port", str(first.port))
        assert refused.returncode == 1
        assert f"cannot listen on 127.0.0.1:{first.port}" in refused.stderr
        assert "--port N" in refused.stderr

        assert first.interrupt(n_times=2) == 0
    assert left_behind(data) == []
    assert not socket_folder(data).exists()

    with studio(data, tmp_path / "second.log") as second:
        second.wait_for_output(READY)
        assert sql(data, "SELECT number FROM kept") == [(17,)]


@pytest.mark.slow
def test_the_children_of_a_killed_studio_end_too(data: Path, tmp_path: Path) -> None:
    with studio(data, tmp_path / "studio.log") as running:
        running.wait_for_output(READY)
        log = data / "logs" / "worker-cpu.log"
        wait_for(
            lambda: log.exists() and " ready." in log.read_text(),
            "the worker takes work and loads the rest of its code",
        )
        running.process.kill()
        deadline = time.monotonic() + PATIENCE
        while (left := left_behind(data)) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert left == []


@pytest.mark.parametrize(
    "moment",
    [
        "queue",
        pytest.param("", marks=pytest.mark.slow),
        pytest.param("database", marks=pytest.mark.slow),
        pytest.param("web server", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_during_the_start_ends_everything(data: Path, tmp_path: Path, moment: str) -> None:
    with studio(data, tmp_path / "studio.log") as starting:
        time.sleep(0.3)  # Python itself has started; before that there is nobody to hear
        starting.wait_for_output(moment)
        assert starting.interrupt(n_times=2) == 0, starting.output
        assert "Traceback" not in starting.output
    assert left_behind(data) == []


@pytest.mark.slow
def test_a_killed_worker_and_web_server_are_started_again_and_a_killed_database_ends_the_studio(
    data: Path, tmp_path: Path
) -> None:
    with studio(data, tmp_path / "studio.log") as running:
        running.wait_for_output(READY)
        for name, program in [("web", "uvicorn"), ("worker-cpu", "celery")]:
            os.kill(_pid_of(data, program), signal.SIGKILL)
            running.wait_for_output(f"{name} ended (exit code -9)")
            wait_for(lambda program=program: _pid_of(data, program) > 0, f"{name} runs again")  # type: ignore[misc]
        os.kill(int((data / "postgres" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        assert running.process.wait(60) == 1
        assert "postgres ended by itself" in running.output
    assert left_behind(data) == []


def test_a_data_folder_that_cannot_be_written_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = manage(tmp_path / "file" / "data", "studio")
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert f"the data folder {tmp_path}/file/data cannot be written: Not a directory" in refused.stderr
    assert "--data DIR" in refused.stderr


def test_a_database_that_does_not_answer_is_named_in_one_line(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://somebody@127.0.0.1:1/nothing")
    refused = manage(data, "studio")
    assert refused.returncode == 1
    assert "the database does not answer" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert left_behind(data) == []


def _pid_of(data: Path, program: str) -> int:
    """The oldest process of this data folder whose command line names the program; 0 when there is none."""
    for process in sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        try:
            environment = Path(f"/proc/{process}/environ").read_bytes()
            line = Path(f"/proc/{process}/cmdline").read_text()
        except OSError:
            continue
        if os.fsencode(f"PROGENY_DATA={data}\0") in environment and program in line:
            return process
    return 0
