"""Invitations, and the gate by which workers of other hosts come in."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from redis import AuthenticationError, Redis

from webapp import env
from webapp.env import SetupError, gate, make_gate
from webapp.system.embedded import WORKER_ROLE, Postgres, Valkey, create_socket_folder
from webapp.system.invites import PREFIX, Invite, seen_from_outside, through_gate

INVITE = Invite(
    "postgres://w:p@10.0.0.1:5/postgres", "redis://:p@10.0.0.1:6/0", "/data", "id", "http://10.0.0.1", "0.1.0"
)


def test_an_invitation_is_one_word_that_says_all() -> None:
    word = INVITE.word()
    assert word.startswith(PREFIX)
    assert len(word.split()) == 1
    assert Invite.read(f" {word}\n") == INVITE


@pytest.mark.parametrize(
    "word", ["", "hello", f"{PREFIX}e30", INVITE.word()[:-9], f"{PREFIX}bnVsbA", "progeny-join:\u00e9"]
)
def test_what_is_no_whole_invitation_is_refused_in_words(word: str) -> None:
    with pytest.raises(
        SetupError, match=r"no invitation, or not all of it: expected progeny-join:.* \./progeny invite on the server"
    ):
        Invite.read(word)


@pytest.mark.parametrize(
    ("url", "chosen", "seen"),
    [
        (
            "postgres://u:p@db:5432/progeny?sslmode=require",
            "10.0.0.1",
            "postgres://u:p@10.0.0.1:5432/progeny?sslmode=require",
        ),
        ("redis://redis:6379/0", "10.0.0.1:7000", "redis://10.0.0.1:7000/0"),
        ("redis://:p@redis:6379/0", "[fd00::1]:7000", "redis://:p@[fd00::1]:7000/0"),
        ("postgres://u:p@db.example.org/progeny", "", "postgres://u:p@db.example.org/progeny"),
    ],
)
def test_addresses_are_those_that_others_see(url: str, chosen: str, seen: str) -> None:
    assert seen_from_outside(url, "--database", chosen) == seen


@pytest.mark.parametrize(
    "url", ["postgres://u:p@db:5432/progeny", "redis://localhost:6379/0", "unix:///tmp/valkey.sock?db=0"]
)
def test_an_address_that_others_do_not_have_is_refused(url: str) -> None:
    with pytest.raises(SetupError, match="means nothing on another machine: say --redis HOST:PORT"):
        seen_from_outside(url, "--redis", "")


def test_an_address_of_another_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"192\.0\.2\.1 is no address of this machine"):
        make_gate(tmp_path, "192.0.2.1")


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    folder = create_socket_folder(tmp_path)
    yield tmp_path
    shutil.rmtree(folder, ignore_errors=True)


def test_the_queue_asks_for_its_password_at_the_gate_and_at_home(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    opened = make_gate(data, "127.0.0.1")
    assert (opened, stat.S_IMODE((data / env.GATE).stat().st_mode)) == (gate(data), 0o600)
    assert make_gate(data, "127.0.0.1") == opened
    child = Valkey(env.socket_folder(data), opened, "127.0.0.1").start(data / "log", lambda: False)
    try:
        _, outside = through_gate(opened, "127.0.0.1")
        for url in (outside, env.redis_address(data).url):
            with Redis.from_url(url) as client:
                assert client.ping()
        with Redis(port=opened.redis_port) as client, pytest.raises(AuthenticationError):
            client.ping()
    finally:
        child.stop()


def test_the_database_lets_in_workers_alone_and_by_password(data: Path) -> None:
    """Making a cluster takes three seconds."""
    opened = make_gate(data, "127.0.0.1")
    settings = {"fsync": "off"}
    child = Postgres(data, env.socket_folder(data), settings, "127.0.0.1").start(data / "log", lambda: False)
    assert child is not None
    try:
        home = env.database_address(data)
        with psycopg.connect(dbname=home.name, user=home.user, host=home.host, port=int(home.port)) as own:
            own.execute(f"CREATE ROLE {WORKER_ROLE} LOGIN PASSWORD '{opened.database_password}'")
        outside, _ = through_gate(opened, "127.0.0.1")
        with psycopg.connect(outside) as worker:
            assert worker.execute("SELECT current_user").fetchone() == (WORKER_ROLE,)
        for wrong in (outside.replace(opened.database_password, "guess"), outside.replace(WORKER_ROLE, "progeny")):
            with pytest.raises(psycopg.OperationalError, match=r"password authentication failed|no pg_hba\.conf entry"):
                psycopg.connect(wrong)
    finally:
        child.stop()
