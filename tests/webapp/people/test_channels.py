"""News goes through every channel once, signed, a few times if it must, and says on its page what came of it."""

from __future__ import annotations

import hmac
import json
import re
from hashlib import sha256
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client

from tests.webapp.runs.rows import make_run
from webapp.people import channels, delivering
from webapp.people.egress import EgressError
from webapp.people.models import Channel, Delivery
from webapp.runs.models import Run

PAGE = "/account/channels/"
HOOK = "https://example.org/hook"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    found: list[Any] = []
    monkeypatch.setattr(delivering, "post", lambda *words: found.append(words))
    return found


def added(client: Client, target: str = HOOK) -> str:
    page = client.post(PAGE, {"target": target}).content.decode()
    secret = re.search(r'<pre id="secret" tabindex="0">([0-9a-f]{64})<', page)
    return secret[1] if secret else ""


def carried_out() -> None:
    """As a worker and its processes would."""
    for number, delivery in enumerate(Delivery.objects.filter(status="pending"), start=1):
        lease = {"status": "leased", "lease_token": number, "lease_until": delivery.created}
        Delivery.objects.filter(pk=delivery.pk).update(**lease)
        delivering.carry_out(delivery.pk, number, sleep=lambda seconds: None)


def test_what_happened_is_told_once_and_signed(owner: User, owner_client: Client, sent: list[Any]) -> None:
    make_run(owner, state="done", n_generations=1, population=2, name="before")
    secret = added(owner_client)
    run = make_run(owner, state="failed", n_generations=1, population=2, name="after")
    for _ in range(2):
        channels.fill()
        carried_out()
    [(url, body, headers)] = sent
    said = json.loads(body)
    assert (url, said["what"], said["key"], said["name"]) == (HOOK, "failed", str(run.pk), "after")
    signed = hmac.new(secret.encode(), headers["X-Progeny-Timestamp"].encode() + b"." + body, sha256).hexdigest()
    assert headers["X-Progeny-Signature"] == f"sha256={signed}"
    assert "told" in owner_client.get(PAGE).content.decode()


def test_the_secret_is_shown_once_and_kept_sealed(owner_client: Client) -> None:
    secret = added(owner_client)
    assert secret and secret not in owner_client.get(PAGE).content.decode()
    assert secret not in Channel.objects.get().secret


def test_what_was_not_taken_is_tried_again_and_then_said(
    owner: User, owner_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def refuse(*words: Any) -> None:
        tries.append(1)
        raise EgressError("example.org answered 503.", may_pass=True)

    monkeypatch.setattr(delivering, "post", refuse)
    added(owner_client)
    owner_client.post(f"{PAGE}{Channel.objects.get().pk}/test/")
    carried_out()
    assert len(tries) == len(delivering.WAITS)
    assert "example.org answered 503." in owner_client.get(PAGE).content.decode()


def test_nothing_of_others_is_told(owner: User, member_client: Client, sent: list[Any]) -> None:
    added(member_client)
    make_run(owner, state="done", n_generations=1, population=2)
    channels.fill()
    assert not Delivery.objects.exists()


def test_mail_goes_where_the_server_has_a_way(owner: User, owner_client: Client, settings: Any) -> None:
    added(owner_client, "owner@example.org")
    Run.objects.filter(pk=make_run(owner, state="done", n_generations=1, population=2, name="a\nrun").pk).update(
        message="so it is"
    )
    channels.fill()
    settings.EMAIL_HOST = "localhost"
    carried_out()
    [message] = mail.outbox
    assert message.to == ["owner@example.org"] and "\n" not in message.subject and "so it is" in message.body


def test_without_a_mail_server_it_is_said(owner_client: Client, settings: Any) -> None:
    settings.EMAIL_HOST = ""
    added(owner_client, "owner@example.org")
    owner_client.post(f"{PAGE}{Channel.objects.get().pk}/test/")
    carried_out()
    assert "This server sends no mail" in owner_client.get(PAGE).content.decode()


@pytest.mark.parametrize("target", ["x", "http://example.org/", "https://user@example.org/", "owner@", "ftp://x", ""])
def test_what_is_no_address_is_not_added(owner_client: Client, target: str) -> None:
    assert added(owner_client, target) == "" and not Channel.objects.exists()


def test_one_has_no_more_than_one_may_have_and_nobody_those_of_others(
    owner_client: Client, member_client: Client
) -> None:
    for _ in range(channels.MAX_CHANNELS):
        added(owner_client)
    assert added(owner_client) == ""
    pk = Channel.objects.latest("pk").pk
    assert {member_client.post(f"{PAGE}{pk}/{act}/").status_code for act in ("test", "remove")} == {404}
    owner_client.post(f"{PAGE}{pk}/remove/")
    assert Channel.objects.count() == channels.MAX_CHANNELS - 1
