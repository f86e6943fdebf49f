"""Every answer forbids what browsers would otherwise allow: guessing types, framing, foreign scripts, telling others the address."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.test import Client, override_settings

from tests.access.matrix import HTTP, rows
from tests.access.world import World, body_of
from webapp.runs.views import listing

WANTED = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
POLICY = {
    "default-src 'self'",
    "img-src 'self' data:",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
}
HTTPS = {
    "SECURE_PROXY_SSL_HEADER", "SECURE_HSTS_SECONDS", "SECURE_SSL_REDIRECT", "SECURE_REDIRECT_EXEMPT", "SESSION_COOKIE_SECURE",
    "CSRF_COOKIE_SECURE", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS",
}  # fmt: skip
HOST = "progeny.example.org"


def missing(answer: Any) -> dict[str, object]:
    """What an answer lacks; all of them lack nothing."""
    lacks: dict[str, object] = {name: answer.get(name) for name, value in WANTED.items() if answer.get(name) != value}
    policy = set(answer.get("Content-Security-Policy", "").split("; "))
    return lacks | ({"Content-Security-Policy": policy} if policy != POLICY else {})


@pytest.fixture
def https(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The site as it is set up for https."""
    monkeypatch.setenv("PROGENY_URL", f"https://{HOST}")
    found = runpy.run_path(str(django_settings.BASE_DIR / "webapp" / "settings.py"))
    with override_settings(**{name: found[name] for name in HTTPS}):
        yield


@pytest.mark.parametrize("people", [("anonymous", "owner"), pytest.param(("member", "viewer"), marks=pytest.mark.slow)])
def test_every_answer_of_every_route_has_them(world: World, people: tuple[str, ...]) -> None:
    for row in rows(HTTP):
        for person in people:
            answer = world.ask(person, row.method, row.route)
            assert (str(row), person, missing(answer)) == (str(row), person, {})


def test_answers_to_what_is_wrong_have_them(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    client = world.client("owner", raise_request_exception=False)
    guarded = world.client("owner", enforce_csrf_checks=True)
    answers = {
        400: client.get("/", headers={"Host": "evil.example"}),
        403: guarded.post(world.address("runs:delete")),
        404: client.get("/nothing/here"),
        405: client.get(world.address("runs:delete")),
    }
    monkeypatch.setattr(listing.listing, "rows", None)
    answers[500] = client.get("/")
    assert {status: answer.status_code for status, answer in answers.items()} == {status: status for status in answers}
    assert {status: missing(answer) for status, answer in answers.items()} == {status: {} for status in answers}
    for status, answer in answers.items():
        assert "<h1>" in answer.content.decode(), status


def test_static_files_have_them(client: Client) -> None:
    for name in ("css/base.css", "js/live.js", "img/icons.svg", "vendor/uplot/LICENSE"):
        answer = client.get(f"{django_settings.STATIC_URL}{name}")
        assert (answer.status_code, missing(answer)) == (200, {})
    assert missing(client.get(f"{django_settings.STATIC_URL}none.css")) == {}


def test_no_answer_may_be_read_by_a_page_of_another_site(world: World) -> None:
    for row in rows(HTTP):
        answer = world.client("owner").get(world.address(row.route), headers={"Origin": "https://evil.example"})
        body_of(answer)
        assert "Access-Control-Allow-Origin" not in answer, str(row)


def test_over_https_browsers_are_told_to_stay_there(https: None, world: World) -> None:
    for row in rows(HTTP):
        client = world.client("owner")
        answer = client.get(world.address(row.route), secure=True, headers={"Host": HOST})
        body_of(answer)
        assert answer.get("Strict-Transport-Security") == "max-age=3600", str(row)
        assert missing(answer) == {}, str(row)
        assert all(cookie["secure"] for name, cookie in client.cookies.items() if name == "progeny_csrf")


def test_over_http_people_are_led_to_https_and_machines_are_answered(https: None, world: World) -> None:
    client = world.client("owner")
    answer = client.get("/runs/new/?preset=quick", headers={"Host": HOST})
    assert (answer.status_code, answer["Location"]) == (301, f"https://{HOST}/runs/new/?preset=quick")
    assert client.get("/healthz", headers={"Host": "127.0.0.1"}).status_code == 200
    behind = client.get("/", headers={"Host": HOST, "X-Forwarded-Proto": "https"})
    assert behind.status_code == 200


def test_cookies_stay_with_the_site(db: None) -> None:
    User.objects.create_user("somebody", password="a good password")
    client = Client()
    client.get("/sign-in/")
    client.post("/sign-in/", {"username": "somebody", "password": "a good password"})
    flags = {name: (cookie["samesite"], cookie["httponly"]) for name, cookie in client.cookies.items()}
    assert flags["progeny_session"] == ("Lax", True)
    assert flags["progeny_csrf"][0] == "Lax"
