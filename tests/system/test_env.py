"""What the environment says: addresses, folders, secrets; and what it may not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from webapp import env
from webapp.env import DatabaseAddress, Mail, SetupError


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("DATABASE_URL", "REDIS_URL", "PROGENY_URL", "PROGENY_SECRET_KEY", "PROGENY_ENGINE", "PROGENY_CPU_WORKERS")
    for name in names:
        monkeypatch.delenv(name, raising=False)


def test_an_engine_is_one_of_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert env.engine() == "transformers"
    monkeypatch.setenv("PROGENY_ENGINE", "vllm")
    assert env.engine() == "vllm"
    monkeypatch.setenv("PROGENY_ENGINE", "vlm")
    with pytest.raises(SetupError, match="PROGENY_ENGINE is 'vlm', expected transformers or vllm"):
        env.engine()


def test_no_more_workers_share_the_processor_than_it_has_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    assert env.n_cpu_workers() == 1
    monkeypatch.setenv("PROGENY_CPU_WORKERS", "4")
    assert env.n_cpu_workers() == 4
    for wrong in ("0", "5", "-1", "two"):
        monkeypatch.setenv("PROGENY_CPU_WORKERS", wrong)
        with pytest.raises(SetupError, match=f"PROGENY_CPU_WORKERS is '{wrong}', expected a number from 1 to 4"):
            env.n_cpu_workers()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("postgres://u:p@h:5433/n", DatabaseAddress("n", "u", "p", "h", "5433")),
        ("postgresql://u@h/n?sslmode=require", DatabaseAddress("n", "u", "", "h", "", (("sslmode", "require"),))),
        ("postgres://u%40x:p%2F@h/n", DatabaseAddress("n", "u@x", "p/", "h")),
        ("postgres://u@/n?host=/var/run/postgresql", DatabaseAddress("n", "u", "", "/var/run/postgresql")),
        ("postgres://u@%2Fvar%2Frun%2FPG/n", DatabaseAddress("n", "u", "", "/var/run/PG")),
    ],
)
def test_a_database_url_is_read(monkeypatch: pytest.MonkeyPatch, url: str, address: DatabaseAddress) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    assert env.database_address(Path("/data")) == address


@pytest.mark.parametrize(
    ("url", "celery"),
    [
        ("redis://h:6379/3", "redis://h:6379/3"),
        ("unix:///p/r.sock?db=2", "redis+socket:///p/r.sock?virtual_host=2"),
        ("unix:///p/r.sock", "redis+socket:///p/r.sock?virtual_host=0"),
    ],
)
def test_a_redis_url_is_spelt_for_celery(monkeypatch: pytest.MonkeyPatch, url: str, celery: str) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    assert env.redis_address(Path("/data")).celery == celery


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("DATABASE_URL", "mysql://u@h/n", "starts with 'mysql', expected postgres://"),
        ("REDIS_URL", "memcached://h", "expected redis://"),
        ("PROGENY_URL", "progeny.example.org", "expected https://host"),
        ("PROGENY_URL", "https://example.org/progeny", "expected https://host"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SetupError, match=f"{name} .*{expected}"):
        env.database_address(Path("/data")), env.redis_address(Path("/data")), env.public_url()


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("", Mail()),
        (
            "smtp://a%40b:p%2Fw@mail.example.org",
            Mail("mail.example.org", 587, "a@b", "p/w", False, "progeny@example.org"),
        ),
        ("smtps://mail.example.org:1465", Mail("mail.example.org", 1465, is_smtps=True, sender="progeny@example.org")),
    ],
)
def test_a_mail_server_is_named_by_its_address(monkeypatch: pytest.MonkeyPatch, address: str, found: Mail) -> None:
    monkeypatch.setenv("PROGENY_MAIL", address)
    monkeypatch.setenv("PROGENY_MAIL_FROM", "progeny@example.org")
    assert env.mail() == found


@pytest.mark.parametrize(
    ("address", "sender"), [("mail.example.org", "a@b"), ("http://x", "a@b"), ("smtp://x", ""), ("smtp://x", "me")]
)
def test_mail_that_cannot_be_sent_is_refused(monkeypatch: pytest.MonkeyPatch, address: str, sender: str) -> None:
    monkeypatch.setenv("PROGENY_MAIL", address)
    monkeypatch.setenv("PROGENY_MAIL_FROM", sender)
    with pytest.raises(SetupError, match="expected"):
        env.mail()


def test_sockets_have_short_paths_however_deep_the_data_folder_is(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-long-name"] * 20)
    assert len(str(env.socket_folder(deep) / "postgres" / env.LONGEST_SOCKET)) < 80
    assert env.socket_folder(deep) != env.socket_folder(deep / "b")


def test_the_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    key = env.secret_key(tmp_path)
    assert len(key) >= 50
    assert env.secret_key(tmp_path) == key
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["secret.key"]


def test_the_fingerprint_changes_with_content_and_name(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("a")
    before = env.fingerprint(tmp_path, "1")
    assert env.fingerprint(tmp_path, "1") == before
    (tmp_path / "a.css").write_text("b")
    changed = env.fingerprint(tmp_path, "1")
    (tmp_path / "a.css").rename(tmp_path / "b.css")
    assert len({before, changed, env.fingerprint(tmp_path, "1"), env.fingerprint(tmp_path, "2")}) == 4
