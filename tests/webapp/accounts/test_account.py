"""One's own account: another password, and the token of the Hub that is written and never read back."""

from __future__ import annotations

from contextlib import nullcontext
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from tests.canary import CANARY
from webapp.accounts import hub, sealing
from webapp.accounts.management.commands import reseal
from webapp.accounts.models import HubToken
from webapp.accounts.tries import MAX_FOR_NAME
from webapp.people import channels

TOKEN = "hf_" + "CanaryCanaryCanary" * 2 + "Wxyz"
PASSWORDS = {"old_password": "owner's password", "new_password1": "a longer phrase", "new_password2": "a longer phrase"}


@pytest.fixture(autouse=True)
def services_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reseal, "ensure_services", lambda say: nullcontext())


def keep(client: Client, token: str = TOKEN) -> Any:
    return client.post("/account/hub-token/", {"token": token}, follow=True)


def test_a_token_is_kept_sealed_and_shown_by_its_end_alone(owner: User, owner_client: Client) -> None:
    page = keep(owner_client).content.decode()
    assert "hf_…Wxyz" in page and TOKEN not in page
    assert "one that may only read is enough; to push models, it has to be one that may write" in page
    kept = HubToken.objects.get()
    assert TOKEN not in kept.sealed and hub.token_of(owner) == TOKEN
    other = "hf_" + "b" * 30
    keep(owner_client, other)
    assert HubToken.objects.count() == 1 and hub.token_of(owner) == other
    assert "is removed" in owner_client.post("/account/hub-token/remove/", follow=True).content.decode()
    assert hub.token_of(owner) is None and not HubToken.objects.exists()


def test_a_token_is_its_owner_s_alone(owner: User, member: User, owner_client: Client, member_client: Client) -> None:
    keep(owner_client)
    assert hub.token_of(member) is None and "hf_…" not in member_client.get("/account/").content.decode()
    member_client.post("/account/hub-token/remove/")
    assert hub.token_of(owner) == TOKEN


@pytest.mark.parametrize("wrong", ["", "hf_short", "sk-" + "a" * 40, f"{TOKEN}\r\nX-Evil: 1", f"{TOKEN}-"])
def test_what_is_no_token_is_refused_and_not_repeated(owner: User, owner_client: Client, wrong: str) -> None:
    page = keep(owner_client, wrong).content.decode()
    assert hub.token_of(owner) == CANARY and 'class="error"' in page
    assert not wrong or wrong not in page


def test_another_secret_key_opens_what_the_old_one_sealed(owner: User, settings: Any) -> None:
    hub.keep_token(owner, TOKEN)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a new key", [settings.SECRET_KEY]
    assert hub.token_of(owner) == TOKEN
    said = StringIO()
    call_command("reseal", stdout=said)
    assert "not needed any more" in said.getvalue()
    settings.SECRET_KEY_FALLBACKS = []
    assert hub.token_of(owner) == TOKEN


def test_whatever_is_sealed_is_resealed(owner: User, settings: Any) -> None:
    channel, secret = channels.add(owner, "webhook", "https://example.org/told")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a new key", [settings.SECRET_KEY]
    call_command("reseal", stdout=StringIO())
    settings.SECRET_KEY_FALLBACKS = []
    channel.refresh_from_db()
    assert sealing.opened(channel.secret) == secret
    columns = [(model, field) for model in apps.get_models() for field in model._meta.get_fields()]
    sealed = {(model, one.name) for model, one in columns if "accounts.sealing" in getattr(one, "help_text", "")}
    assert sealed == {*reseal.SEALED.values()}


def test_a_lost_key_is_no_crash_and_is_said(owner: User, settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    hub.keep_token(owner, TOKEN)
    settings.SECRET_KEY = "a new key"
    assert hub.token_of(owner) is None and "PROGENY_OLD_SECRET_KEYS" in caplog.text
    with pytest.raises(CommandError, match="1 tokens do not open"):
        call_command("reseal")


def test_what_was_changed_by_hand_does_not_open() -> None:
    sealed = sealing.seal(TOKEN)
    with pytest.raises(sealing.SealError):
        sealing.opened(sealed[:-4] + "AAAA")


def test_another_password_signs_other_browsers_out(owner: User, owner_client: Client) -> None:
    elsewhere = Client()
    elsewhere.force_login(owner)
    page = owner_client.post("/account/password/", PASSWORDS, follow=True).content.decode()
    assert "Your password is changed" in page
    assert owner_client.get("/account/").status_code == 200
    assert elsewhere.get("/account/").status_code == 302
    owner.refresh_from_db()
    assert owner.check_password("a longer phrase")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"old_password": "wrong"}, "This is not your password"),
        ({"new_password2": "another phrase"}, "The two new passwords differ"),
        ({"new_password1": "password", "new_password2": "password"}, "too common"),
    ],
)
def test_a_password_is_changed_only_by_who_knows_it(
    owner: User, owner_client: Client, changes: dict[str, str], complaint: str
) -> None:
    assert complaint in owner_client.post("/account/password/", PASSWORDS | changes).content.decode()
    owner.refresh_from_db()
    assert owner.check_password("owner's password")


def test_who_found_an_open_browser_cannot_guess_the_password_there(owner: User, owner_client: Client) -> None:
    for i in range(MAX_FOR_NAME):
        owner_client.post("/account/password/", PASSWORDS | {"old_password": f"guess {i}"})
    assert "Too many tries" in owner_client.post("/account/password/", PASSWORDS).content.decode()
    owner.refresh_from_db()
    assert owner.check_password("owner's password")


def test_the_account_is_for_who_is_signed_in_and_kept_by_no_cache(
    owner_client: Client, stranger_client: Client
) -> None:
    assert stranger_client.get("/account/").url == "/sign-in/?next=/account/"
    assert "no-store" in owner_client.get("/account/").headers["Cache-Control"]
    assert owner_client.get("/account/hub-token/").status_code == 405
