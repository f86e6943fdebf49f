"""The websocket of a run: no page of another site opens it, and it is closed when its person may no longer see the run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from tests.access.test_matrix import headers
from tests.webapp.runs.rows import make_run
from tests.webapp.runs.sockets import Socket
from webapp.runs.live import consumers
from webapp.runs.models import Run
from webapp.sharing.actions import share
from webapp.sharing.models import Membership, Share
from webapp.sharing.projects import admit, begin, dismiss, place

pytestmark = pytest.mark.django_db(transaction=True)
HOST = "127.0.0.1:8000"
FOREIGN = (
    "https://evil.example", "http://evil.example:8000", "null", "", "http://127.0.0.1:8000.evil.example", "http://evil127.0.0.1:8000",
    "http://127.0.0.1.evil.example:8000", "http://127.0.0.1:8001", "http://127.0.0.1", "http://127.0.0.1:80", "http://127.0.0.1:80000",
    "http://127.0.0.1:8000@evil.example", "http://evil.example#127.0.0.1:8000", "http://evil.example/127.0.0.1:8000", "127.0.0.1:8000",
    "http://user@127.0.0.1:8000", "http://127.0.0.1:8000/", "http://127.0.0.1:8000, http://evil.example", "file://127.0.0.1:8000",
    "ws://127.0.0.1:8000", "chrome-extension://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000", "HTTP://127.0.0.1:8000\x00",
)  # fmt: skip


@pytest.fixture
def run(owner: User) -> Run:
    return make_run(owner, n_generations=1, population=2)


def socket(run: Run, client: Client, origin: str | None) -> Socket:
    """As a page of that origin opens it, with the cookies that a browser would send."""
    kept = [(name, value) for name, value in headers(client) if name == b"cookie"]
    own = [(b"origin", origin.encode())] if origin is not None else []
    return Socket(f"/ws/runs/{run.pk}/", [(b"host", HOST.encode()), *kept, *own])


async def is_let_in(asked: Socket) -> bool:
    """Whether anything of the run comes."""
    if not await asked.open():
        return False
    try:
        await asked.frame()
    except AssertionError:
        return False
    finally:
        await asked.leave()
    return True


@pytest.mark.parametrize("origin", [*FOREIGN, None])
async def test_no_page_of_another_site_listens(run: Run, owner_client: Client, origin: str | None) -> None:
    assert not await is_let_in(socket(run, owner_client, origin))


async def test_our_own_page_listens(run: Run, owner_client: Client) -> None:
    assert await is_let_in(socket(run, owner_client, f"http://{HOST}"))


async def test_over_https_no_page_that_came_over_http_listens(run: Run, owner_client: Client, settings: Any) -> None:
    settings.SESSION_COOKIE_SECURE = True
    assert not await is_let_in(socket(run, owner_client, f"http://{HOST}"))
    assert await is_let_in(socket(run, owner_client, f"https://{HOST}"))


def _change_password(member: User) -> None:
    member.set_password("another one")
    member.save()


NO_MEMBER = "no member of its project any more"


def _admit(run: Run, member: User) -> None:
    project = begin(run.owner, "a project")
    place(run, project)
    admit(project, member, "viewer")


ENDINGS: dict[str, tuple[Callable[[User], object], int]] = {
    "no longer shared": (lambda member: Share.objects.all().delete(), consumers.NOT_FOUND),
    NO_MEMBER: (lambda member: dismiss(Membership.objects.get(user=member)), consumers.NOT_FOUND),
    "deleted by its owner": (lambda member: Run.objects.update(deleted_at="2026-01-01T00:00Z"), consumers.NOT_FOUND),
    "switched off": (lambda member: User.objects.filter(pk=member.pk).update(is_active=False), consumers.NOT_SIGNED_IN),
    "another password": (_change_password, consumers.NOT_SIGNED_IN),
    "account deleted": (lambda member: member.delete(), consumers.NOT_SIGNED_IN),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_socket_is_closed_within_its_tick(
    run: Run, member: User, member_client: Client, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(consumers, "TICK_SECONDS", 0.2)
    end, code = ENDINGS[ending]
    let_in = _admit if ending == NO_MEMBER else partial(share, role="viewer")
    await asyncio.to_thread(_in_thread, lambda: let_in(run, member))
    watcher = socket(run, member_client, f"http://{HOST}")
    assert await watcher.open()
    assert (await watcher.frame())["type"] == "snapshot"
    await asyncio.to_thread(_in_thread, lambda: end(member))
    assert await watcher.closed() == code
    await watcher.leave()


async def test_signing_out_closes_it(run: Run, owner_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "TICK_SECONDS", 0.2)
    watcher = socket(run, owner_client, f"http://{HOST}")
    assert await watcher.open()
    await watcher.frame()
    await asyncio.to_thread(_in_thread, lambda: owner_client.post("/sign-out/"))
    assert await watcher.closed() == consumers.NOT_SIGNED_IN
    await watcher.leave()


def _in_thread(action: Callable[[], object]) -> None:
    """Closes the thread's own connection after it."""
    try:
        action()
    finally:
        connection.close()
