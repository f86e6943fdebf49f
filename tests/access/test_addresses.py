"""Addresses that people make up: where sign-in leads, which names the server answers to, what lies beside the site, odd parameters."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from tests.access.names import fields, pages, undone, watch
from tests.access.world import World, body_of
from webapp.asgi import application

ELSEWHERE = (
    "https://evil.example", "http://evil.example/", "//evil.example", "///evil.example", "////evil.example", "https:evil.example",
    "https:/evil.example", "https:///evil.example", "http:///evil.example", "\\\\evil.example", "/\\evil.example", "\\/evil.example",
    "/\\/evil.example", "\thttps://evil.example", "\nhttps://evil.example", " //evil.example", "\x08//evil.example", "/\t/evil.example",
    "/\n/evil.example", "ht\ntps://evil.example", "javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\nscript:alert(1)",
    "data:text/html,<script>alert(1)</script>", "vbscript:x", "https://testserver@evil.example", "https://testserver:x@evil.example",
    "https://evil.example#testserver", "https://evil.example?testserver", "https://evil.example\\testserver",
    "https://testserver.evil.example", "https://eviltestserver", "ftp://testserver/", "//testserver@evil.example", "//evil.example:80",
    "https://[::1]evil.example", "//[evil.example", "http://[::1", "https://evil。example", "//evil%2eexample",
    "https://testserver:443@evil.example", "blob:https://evil.example", "x:y", "\x00//evil.example",
    "https://evil.example/%0d%0aSet-Cookie:a=b",
)  # fmt: skip
HOSTS = (
    "evil.example", "testserver.evil.example", "eviltestserver", "testserver@evil.example", "testserver:80@evil.example",
    "evil.example:80", "testserver evil.example", "testserver,evil.example", "[::1", "[evil.example]", "", " ", "testserver/evil",
    "testserver#evil", "testserver?evil", "testserver\\evil", "127.0.0.1.evil.example", "2130706433", "0x7f.1", "localhost.evil.example",
    "*", ".", "..", "testserver..", "-testserver", "testserver:port", "testserver:-1", "[::ffff:127.0.0.1]", "тест", "xn--80akhbyknj4f",
)  # fmt: skip


@pytest.mark.parametrize("next_page", ELSEWHERE)
def test_sign_in_never_leads_elsewhere(db: None, next_page: str) -> None:
    User.objects.create_user("somebody", password="a good password")
    client = Client(raise_request_exception=False)
    entry = {"username": "somebody", "password": "a good password", "next": next_page}
    for answer in (client.post("/sign-in/", entry), client.get("/sign-in/", {"next": next_page})):
        assert (answer.status_code, answer["Location"]) == (302, "/")


@pytest.mark.parametrize("back", ELSEWHERE)
def test_no_button_leads_elsewhere(world: World, back: str) -> None:
    answer = world.client("owner").post(world.address("runs:rename"), {"name": "x", "back": back})
    assert (answer.status_code, answer["Location"]) == (302, world.address("runs:detail"))


@pytest.mark.parametrize("odd", ["%2f%2fevil.example//", ":", "://", "//", "/\r\nSet-Cookie: a=b", "/" * 3000, "/%00"])
def test_a_way_back_that_leads_nowhere_is_no_error(world: World, odd: str) -> None:
    for answer in (
        world.client("owner").post(world.address("runs:rename"), {"name": "x", "back": odd}),
        world.client("owner").get("/sign-in/", {"next": odd}),
    ):
        assert answer.status_code == 302
        assert not set("\r\n") & set(answer["Location"]) and "Set-Cookie" not in answer


def test_sign_in_leads_to_what_was_asked_for(world: World) -> None:
    address = world.address("runs:detail")
    answer = Client().get(address)
    assert answer["Location"] == f"/sign-in/?next={address}"
    assert world.client("owner").get("/sign-in/", {"next": address})["Location"] == address


@pytest.mark.parametrize("host", HOSTS)
def test_the_server_answers_to_no_other_name(db: None, host: str) -> None:
    client = Client(raise_request_exception=False)
    for address in ("/sign-in/", "/healthz", "/"):
        assert client.get(address, headers={"Host": host}).status_code == 400
    assert client.get("/sign-in/", headers={"X-Forwarded-Host": host}).status_code == 200


def beside() -> list[str]:
    """Two hundred addresses that scanners ask for."""
    version = settings.STATIC_URL.rstrip("/")
    files = Path(__file__).with_name("beside.txt").read_text().split()
    ups = (
        "../",
        "..%2f",
        "%2e%2e/",
        "%2e%2e%2f",
        "..\\",
        "..%5c",
        "..%255c",
        "%252e%252e/",
        "....//",
        "..;/",
        "%c0%ae%c0%ae/",
        "./../",
    )
    targets = ("webapp/settings.py", "data/secret.key", "etc/passwd", ".env")
    climbing = [f"{version}/{up * n}{target}" for up in ups for n in (1, 6) for target in targets]
    sources = [
        f"{version}/js/live.js{ending}" for ending in (".map", "~", ".bak", ".orig", "%00", "/", "%20", ".gz", ".br")
    ]
    return [f"/{name}" for name in files] + climbing + sources


def test_nothing_lies_beside_the_site(owner_client: Client) -> None:
    asked = beside()
    assert len(asked) >= 200
    found = {address: owner_client.get(address).status_code for address in asked}
    assert {address: status for address, status in found.items() if status != 404} == {}


async def test_no_path_climbs_out_of_the_static_files() -> None:
    """As a server hands it over: decoded, and not made shorter."""
    version = settings.STATIC_URL
    for path in (
        f"{version}../../webapp/settings.py",
        f"{version}/etc/passwd",
        "/static/../.env",
        f"{version}css/../../manage.py",
    ):
        assert (path, await status(path)) == (path, 404)
    assert await status(f"{version}css/base.css") == 200


async def status(path: str) -> int:
    """What the application answers to exactly this path."""
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "root_path": "",
    }
    asked = asyncio.Queue[dict[str, Any]]()
    await asked.put({"type": "http.request", "body": b"", "more_body": False})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await application(scope, asked.get, send)
    return int(sent[0]["status"])


ODD = (
    "", "a\x00b", "-1", "9" * 400, "1e999", "NaN", "٣", "' OR 1=1 --", "%\\_", "\ud7ff\uffff", "\x1b[31m", "{{7*7}}", "../" * 30,
    "a" * 5000, "\r\nX: y", "owner__password",
)  # fmt: skip


NUL = ODD[1]
"""No text of the database holds it."""
SHIFTS = [pytest.param(n, marks=[] if n == 0 else [pytest.mark.slow]) for n in range(len(ODD))]
"""In all of them together every name has every value; in each, every value is somewhere, and in the first NUL is everywhere, too."""


def odd(names: Sequence[str], shift: int) -> dict[str, str]:
    return {name: ODD[(n + shift) % len(ODD)] for n, name in enumerate(names)}


def nul(names: Sequence[str], shift: int) -> dict[str, str]:
    return dict.fromkeys(names, NUL) if shift == 0 else {}


@pytest.mark.parametrize("shift", SHIFTS)
def test_no_parameter_breaks_a_page(world: World, monkeypatch: pytest.MonkeyPatch, shift: int) -> None:
    """One at a time, beside what a link has: some names alone decide what else is read. Several hundred questions take some seconds."""
    watch(monkeypatch)
    client = world.client("owner")
    found = list(pages(world, client))
    assert {name for asked in found for name in asked.names} >= {
        "q",
        "page",
        "sort",
        "c",
        "gene",
        "like",
        "tab",
        "pair",
    }
    for i, asked in enumerate(found):
        for name, value in [*odd(asked.names, i + shift).items(), *nul(asked.names, shift).items()]:
            answer = client.get(asked.path, asked.query | {name: value})
            body_of(answer)
            assert answer.status_code < 500, (asked.path, asked.query, name, value)


@pytest.mark.parametrize("shift", SHIFTS)
def test_no_field_breaks_a_form(world: World, monkeypatch: pytest.MonkeyPatch, shift: int) -> None:
    watch(monkeypatch)
    for client, asked in fields(world):
        for sent in (odd(asked.names, shift), nul(asked.names, shift)):
            with undone():
                answer = client.post(asked.path, sent)
            assert answer.status_code < 500, (asked.path, answer.status_code)


def test_the_settings_of_production_pass_djangos_own_check(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PROGENY_DATA": str(tmp_path),
        "PROGENY_URL": "https://progeny.example.org",
        "PROGENY_HOSTS": "progeny.example.org",
    }
    environment.pop("DJANGO_ALLOW_ASYNC_UNSAFE", None)  # which tests that drive a browser need
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "System check identified no issues (2 silenced).\n",
        "",
    )
