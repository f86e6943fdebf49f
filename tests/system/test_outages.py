"""The web server while its database is stopped, or full of others' connections: it says so in words, and recovers by itself."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import psycopg
import pytest

from tests.conftest import free_port, wait_for
from webapp.env import BASE_DIR
from webapp.system.embedded import Postgres, create_socket_folder
from webapp.system.processes import Child, Command

pytestmark = pytest.mark.timeout(300)  # with the making of a database
N_CONNECTIONS = 12
ANSWER_SECONDS = 6.0
RECOVERY_SECONDS = 10.0


class Database:
    """A server of the test's own, which it may stop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sockets = create_socket_folder(folder)
        self._child: Child | None = None
        self.url = f"postgres://progeny@/postgres?host={self._sockets / 'postgres'}"

    def start(self) -> None:
        settings = {"max_connections": str(N_CONNECTIONS), "fsync": "off"}
        self._child = Postgres(self._folder, self._sockets, settings).start(
            self._folder / "postgres.log", lambda: False
        )

    def stop(self) -> None:
        if self._child:
            self._child.stop()
        self._child = None


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    server = Database(tmp_path_factory.mktemp("database"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


class Web:
    """`manage.py web` with that database, as somebody sees it who has signed in once: every page has to ask who that is."""

    def __init__(self, port: int, log: Path, url: str, data: Path) -> None:
        self._port = port
        environment = {"DATABASE_URL": url, "PROGENY_DATA": str(data), "PROGENY_SECRET_KEY": "k" * 50}
        manage = (sys.executable, "manage.py")
        prepared = subprocess.run(
            [*manage, "prepare"], cwd=BASE_DIR, env={**os.environ, **environment}, capture_output=True, text=True
        )
        assert prepared.returncode == 0, prepared.stderr
        self.child = Child(Command("web", (*manage, "web", "--port", str(port)), environment, BASE_DIR), log)

    def get(self, **headers: str) -> tuple[HTTPResponse, str]:
        client = HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            client.request("GET", "/", headers={"Cookie": "progeny_session=somebody", **names})
            answer = client.getresponse()
            return answer, answer.read().decode()
        finally:
            client.close()

    def status(self) -> int | None:
        try:
            return self.get()[0].status
        except OSError:
            return None

    def recovers(self) -> float:
        """After how many seconds it serves again."""
        began = time.monotonic()
        wait_for(lambda: self.status() == 302, "the web server serves again", 60)
        return time.monotonic() - began


@pytest.fixture(scope="module")
def web(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("web")
    served = Web(free_port(), folder / "web.log", database.url, folder / "data")
    try:
        wait_for(lambda: served.status() == 302, "the web server answers", 120)
        yield served
    finally:
        served.child.stop()


def check_maintenance(web: Web) -> None:
    began = time.monotonic()
    answer, page = web.get()
    assert time.monotonic() - began < ANSWER_SECONDS
    assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
    assert "Back in a moment" in page
    answer, page = web.get(Accept="application/json")
    assert (answer.status, answer.headers["Content-Type"]) == (503, "application/json")
    answer, page = web.get(HX_Request="true")
    assert (answer.status, "<html" in page) == (503, False)


def test_a_stopped_database_is_a_page_in_words_and_all_is_well_when_it_is_back(database: Database, web: Web) -> None:
    for seconds in (0, 15):
        database.stop()
        check_maintenance(web)
        time.sleep(seconds)
        check_maintenance(web)
        database.start()
        assert web.recovers() < RECOVERY_SECONDS
    assert "Traceback" not in web.child.written()


def test_others_who_hold_all_connections_are_waited_for(database: Database, web: Web) -> None:
    with ExitStack() as held:
        ours: list[psycopg.Connection] = []

        def hold_all() -> None:
            try:
                while True:
                    ours.append(held.enter_context(psycopg.connect(database.url, autocommit=True)))
            except psycopg.OperationalError as error:
                assert "too many clients" in str(error)

        hold_all()
        pids = [connection.info.backend_pid for connection in ours]
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> ALL(%s)"
        ours[0].execute(end, [pids])
        hold_all()
        check_maintenance(web)
    assert web.recovers() < RECOVERY_SECONDS
    assert "Traceback" not in web.child.written()
