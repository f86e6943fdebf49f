"""What every test may ask for: three persons, the site served for real, a worker, a browser.

Persons: `owner` made the thing under test, `member` has an account, `stranger` has none; `<person>_client` asks in their name.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import AnonymousUser, User
from django.core.cache import cache
from django.db import connection, transaction
from django.test import Client, TransactionTestCase, override_settings
from hypothesis import settings
from pytest_django import DjangoDbBlocker

from tests.canary import CANARY, LARGEST, Listener, listening, telling
from tests.hub import reading
from tests.hub.server import FakeHub
from tests.testenv import SERVICES
from webapp.accounts import hub
from webapp.system.processes import Child, Command, wait_until
from webapp.system.programs import worker_commands, worker_is_ready

PATIENCE = 60.0
"""Seconds for which anything is waited for: a wait that is not in vain costs nothing, and a busy machine is no defect."""
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
settings.register_profile("progeny", deadline=None)  # a busy machine is no defect
settings.load_profile("progeny")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with a browser come last: Playwright keeps a loop running in this thread until the session ends, and after it no asynchronous
    test can start one.
    """
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords() -> Iterator[None]:
    """Hashing a password properly takes longer than most tests."""
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


@pytest.fixture(scope="session", autouse=True)
def no_hub() -> Iterator[None]:
    """The Hub is asked by no test; whoever asks without a fake one is refused at once."""
    with override_settings(HUB_URL="http://127.0.0.1:9"):
        yield


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    """What the site keeps in its cache for some seconds is about rows that were there before."""
    cache.clear()


@pytest.fixture(scope="session", autouse=True)
def canary(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listener]:
    """The owner's token of the Hub is told nowhere, in the whole suite."""
    with listening() as listener:
        yield listener
    heard = [*listener.heard, *telling(tmp_path_factory.getbasetemp().rglob("*"), LARGEST)]
    heard += telling(pytestconfig.stash[SERVICES].data.rglob("*"), math.inf)
    assert heard == [], f"these told the canary: {heard}"


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The served site's threads may keep a session a moment longer than the last test, and the database could not be dropped."""
    yield
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        cursor.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")


@pytest.fixture(scope="session", autouse=True)
def tables_are_emptied_quickly() -> Iterator[None]:
    """After a test with transactions of its own Django truncates all tables and fills two again: a third of a second, for a few rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda self: empty_tables())
        yield


def empty_tables() -> None:
    """Delete all rows but those that Django keeps about models, without a look at references, and only where there are any.

    What a process that was killed had begun to write is waited for.
    """
    deadline = time.monotonic() + 5
    while others_at_work() and time.monotonic() < deadline:
        time.sleep(0.02)
    kept = {"django_migrations", "django_content_type", "auth_permission"}
    with transaction.atomic(), connection.cursor() as cursor:
        tables = [name for name in connection.introspection.table_names(cursor) if name not in kept]
        cursor.execute(" UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in tables))
        filled = [name for (name,) in cursor.fetchall()]
        cursor.execute("SET LOCAL session_replication_role = replica")
        for name in filled:
            cursor.execute(f"DELETE FROM {name}")


@pytest.fixture
def owner(db: None) -> User:
    """With a token of the Hub."""
    made = User.objects.create_user("owner", password="owner's password")
    hub.keep_token(made, CANARY)
    return made


@pytest.fixture
def member(db: None) -> User:
    return User.objects.create_user("member", password="member's password")


@pytest.fixture
def stranger() -> AnonymousUser:
    return AnonymousUser()


@pytest.fixture
def owner_client(owner: User) -> Client:
    return _client_of(owner)


@pytest.fixture
def member_client(member: User) -> Client:
    return _client_of(member)


@pytest.fixture
def stranger_client(db: None) -> Client:
    return Client()


def _client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def live_app(transactional_db: None) -> Iterator[str]:
    """The site's address, served by uvicorn in a thread of this process from the test database: pages and websockets."""
    import uvicorn

    from webapp.asgi import application

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(
            uvicorn.Config(
                application, lifespan="off", ws="websockets-sansio", log_level="warning", timeout_graceful_shutdown=2
            )
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="live_app")
        thread.start()
        wait_for(lambda: server.started, "uvicorn has started")
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(PATIENCE)
        assert not thread.is_alive(), "uvicorn still runs long after it was told to stop"


@pytest.fixture
def worker_process(transactional_db: None, tmp_path: Path) -> Iterator[Child]:
    """A real worker on the test database, ready for work; ended with the test."""
    with hired_worker(tmp_path) as child:
        yield child


@pytest.fixture
def fake_hub(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[FakeHub]:
    """A Hub of the test's own, where the owner is `owner`: for the site, and for processes that are started."""
    with FakeHub(reading.routes).serving() as hub:
        hub.shelf.tokens[CANARY] = "owner"
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        settings.HUB_URL = hub.url
        yield hub


@contextmanager
def hired_worker(folder: Path) -> Iterator[Child]:
    """A real worker on the test database until the block ends; ready for work when it begins."""
    child = Child(worker_command(), folder / "worker.log")
    try:
        wait_until(lambda: worker_is_ready(child), child, PATIENCE, lambda: False)
        yield child
    finally:
        child.stop()


@contextmanager
def at_work(worker: Child) -> Iterator[None]:
    """Let a worker that sleeps work until the block ends. It then sleeps without a transaction, so that tables may be emptied."""
    os.kill(worker.pid, signal.SIGCONT)
    yield
    while True:
        os.kill(worker.pid, signal.SIGSTOP)
        if not others_at_work():
            return
        os.kill(worker.pid, signal.SIGCONT)
        time.sleep(0.05)


def others_at_work() -> bool:
    """Whether another session does anything in the test database."""
    others = "backend_type = 'client backend' AND datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT EXISTS (SELECT FROM pg_stat_activity WHERE {others})")
        return bool(cursor.fetchone()[0])


def database_url() -> str:
    """Where the test's database is, as DATABASE_URL says it to other processes."""
    found = connection.settings_dict
    return f"postgres://{found['USER']}@/{found['NAME']}?host={found['HOST']}"


def worker_command() -> Command:
    """The first worker as the studio starts it, with its database named by DATABASE_URL."""
    first = worker_commands()[0]
    return replace(first, environment={**first.environment, "DATABASE_URL": database_url()})


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless Chromium for the whole session. Tests that ask for it are skipped, with the reason, where there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium here: ./progeny test installs it as root with apt; otherwise install it by hand")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A fresh browser page at 1280 x 800. The test fails on any console error and on any request to another host."""
    with watched_page(chromium) as (opened, _):
        yield opened


@contextmanager
def watched_page(chromium: Any) -> Iterator[tuple[Any, list[str]]]:
    """A page and what there is to complain about it; an assertion at the end of the block says that this is nothing.

    A test that provokes an error, such as a lost connection, takes it off the list.
    """
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    context.set_default_timeout(1000 * PATIENCE)
    complaints: list[str] = []
    opened = context.new_page()
    opened.on("console", lambda said: complaints.extend([f"console: {said.text}"] if said.type == "error" else []))
    opened.on("pageerror", lambda error: complaints.append(f"page error: {error}"))
    opened.on("request", lambda request: complaints.extend(foreign(request.url)))
    opened.on("websocket", lambda websocket: complaints.extend(foreign(websocket.url)))
    try:
        yield opened, complaints
    finally:
        context.close()
    assert not complaints, "\n".join(complaints)


@pytest.fixture
def site(live_app: str, owner_client: Client, page: Any) -> str:
    """The site's address; the page is signed in as owner."""
    sign_in(page, live_app, owner_client)
    return live_app


def sign_in(page: Any, site: str, client: Client) -> None:
    """From now on the page asks in the client's name."""
    name = django_settings.SESSION_COOKIE_NAME
    page.context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": site}])


def is_too_wide(page: Any) -> bool:
    """Whether the page is wider than its window."""
    return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth"))


def foreign(url: str) -> list[str]:
    """A complaint about an address that is not on this machine."""
    parts = urlsplit(url)
    here = parts.scheme in ("data", "blob", "about") or parts.hostname in ("127.0.0.1", "localhost")
    return [] if here else [f"request to another host: {url}"]


def wait_for(condition: Callable[[], bool], claim: str, seconds: float = PATIENCE) -> None:
    """Until the condition holds; the test fails, with the claim, when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"after {seconds} s it does not hold that {claim}"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """False for a process that has ended, reaped or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
