"""The web server while its database is stopped, or full of others' connections: it says so in words, and recovers by itself."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import psycopg
import pytest
from django.conf import settings

from tests.conftest import free_port, wait_for
from webapp.env import BASE_DIR
from webapp.system.embedded import Postgres, create_socket_folder
from webapp.system.processes import Child, Command

pytestmark = pytest.mark.timeout(300)  # with the making of a database
N_CONNECTIONS = 12
ANSWER_SECONDS = 6.0
RECOVERY_SECONDS = 10.0
END_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> ALL(%s)"
)


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
        self.port = port
        environment = {"DATABASE_URL": url, "PROGENY_DATA": str(data), "PROGENY_SECRET_KEY": "k" * 50}
        manage = (sys.executable, "manage.py")
        prepared = subprocess.run(
            [*manage, "prepare"], cwd=BASE_DIR, env={**os.environ, **environment}, capture_output=True, text=True
        )
        assert prepared.returncode == 0, prepared.stderr
        self.child = Child(Command("web", (*manage, "web", "--port", str(port)), environment, BASE_DIR), log)

    def get(self, **headers: str) -> tuple[HTTPResponse, str]:
        client = HTTPConnection("127.0.0.1", self.port, timeout=30)
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
    """Three people at once, for each of them has to wait a few seconds."""
    began = time.monotonic()
    with ThreadPoolExecutor(3) as people:
        asked = ({}, {"Accept": "application/json"}, {"HX_Request": "true"})
        (whole, page), (for_machines, _), (part, piece) = people.map(lambda headers: web.get(**headers), asked)
    assert time.monotonic() - began < ANSWER_SECONDS
    assert {answer.status for answer in (whole, for_machines, part)} == {503}
    assert whole.headers["Retry-After"] == "10" and "Back in a moment" in page
    assert for_machines.headers["Content-Type"] == "application/json"
    assert "<html" not in piece


@pytest.mark.parametrize("seconds", [0, pytest.param(15, marks=pytest.mark.slow)])
def test_a_stopped_database_is_a_page_in_words_and_all_is_well_when_it_is_back(
    database: Database, web: Web, seconds: float
) -> None:
    database.stop()
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

        def holds_all() -> bool:
            """Ends those of others, which takes a moment, and whoever is quicker has their places."""
            hold_all()
            pids = [connection.info.backend_pid for connection in ours]
            return not ours[0].execute(END_OTHERS, [pids]).fetchall()

        wait_for(holds_all, "all connections are held by the test")
        check_maintenance(web)
    assert web.recovers() < RECOVERY_SECONDS
    assert "Traceback" not in web.child.written()


def test_more_visitors_than_it_may_open_files_for_are_turned_away_and_it_recovers(web: Web) -> None:
    pid = web.child.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    n_open = len(os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (n_open + 20, limits[1]))
    try:
        with ExitStack() as visitors:
            for _ in range(200):
                visitors.enter_context(socket.create_connection(("127.0.0.1", web.port), timeout=5))
            wait_for(lambda: len(os.listdir(f"/proc/{pid}/fd")) >= n_open + 20, "it has opened all that it may")
            assert web.child.exit_code() is None
        assert web.recovers() < RECOVERY_SECONDS
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    assert "Traceback" not in web.child.written()


def test_a_database_that_was_cut_off_without_a_word_is_noticed_within_half_a_minute() -> None:
    """As far as settings can tell: to cut a network takes more rights than a test has."""
    options = settings.DATABASES["default"]["OPTIONS"]
    assert options["connect_timeout"] <= 5
    assert options["keepalives_idle"] + options["keepalives_interval"] * options["keepalives_count"] <= 30
    assert options["tcp_user_timeout"] <= 30_000
