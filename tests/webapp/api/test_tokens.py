"""Tokens: shown once, kept as hashes, good until they expire, are revoked, or their owner may not sign in."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone

from tests.webapp.api.asking import Program
from webapp.api.models import Token
from webapp.api.tokens import MAX_TOKENS, make
from webapp.masking import masked

PAGE = "/account/tokens/"
WORD = r"progeny_[0-9a-f]{64}"


def made(client: Client, **fields: object) -> str:
    return client.post(PAGE, {"name": "laptop", "days": "30", **fields}).content.decode()


def test_a_token_is_shown_once_and_kept_nowhere(owner_client: Client) -> None:
    page = made(owner_client, scopes=["runs"])
    word = page.split('<pre id="word" tabindex="0">')[1].split("<")[0]
    assert Client(headers={"Authorization": f"Bearer {word}"}).get("/api/v1/me").json()["scopes"] == ["read", "runs"]
    assert word not in owner_client.get(PAGE).content.decode()
    with connection.cursor() as cursor:
        cursor.execute("SELECT row::text FROM api_token row")
        assert word.removeprefix("progeny_") not in str(cursor.fetchall())


def test_a_token_that_has_expired_or_is_revoked_is_none(owner: User, owner_client: Client) -> None:
    program = Program(owner)
    row = Token.objects.get()
    Token.objects.update(expires=timezone.now() - timedelta(seconds=1))
    assert program.get("/me").status_code == 401
    assert "expired" in owner_client.get(PAGE).content.decode()
    Token.objects.update(expires=timezone.now() + timedelta(days=1))
    assert program.get("/me").status_code == 200
    owner_client.post(f"{PAGE}{row.pk}/revoke/")
    assert program.get("/me").status_code == 401


def test_somebody_whose_account_is_switched_off_asks_nothing(owner: User) -> None:
    program = Program(owner)
    User.objects.update(is_active=False)
    assert program.get("/me").status_code == 401


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer progeny_" + "0" * 64, "Basic b3duZXI6", "Bearer a\u00e9"]
)
def test_what_is_no_token_is_nobody(owner: User, header: str) -> None:
    Program(owner)
    answer = Client(headers={"Authorization": header}).get("/api/v1/me")
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")


def test_a_token_in_an_address_counts_for_nothing(owner: User) -> None:
    word = Program(owner).word
    assert Client().get("/api/v1/me", {"token": word}).status_code == 422
    assert Client().get("/api/v1/runs", {"after": word}).status_code == 401


def test_when_a_token_was_last_used_is_known(owner: User, owner_client: Client) -> None:
    program = Program(owner)
    assert "never" in owner_client.get(PAGE).content.decode()
    program.get("/me")
    assert "never" not in owner_client.get(PAGE).content.decode()


def test_nobody_has_more_tokens_than_one_may_have(owner: User, owner_client: Client) -> None:
    for _ in range(MAX_TOKENS):
        make(owner, "one", (), 1)
    assert "are all that one may have" in made(owner_client)
    assert Token.objects.count() == MAX_TOKENS


def test_nobody_revokes_the_token_of_another(owner: User, member_client: Client) -> None:
    row, _ = make(owner, "mine", (), 1)
    assert member_client.post(f"{PAGE}{row.pk}/revoke/").status_code == 404
    assert Token.objects.exists()


def test_a_token_is_masked_in_logs(owner: User, caplog: pytest.LogCaptureFixture) -> None:
    word = Program(owner).word
    logging.getLogger("webapp").warning("it came with %s", word)
    assert masked(caplog.text).strip().endswith("it came with progeny_***")
