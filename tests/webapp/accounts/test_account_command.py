"""`./progeny account NAME`, which makes the accounts that runs are shared with."""

from __future__ import annotations

from contextlib import nullcontext
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from webapp.accounts.management.commands import account

pytestmark = pytest.mark.django_db(transaction=True)
PASSWORD = "a good password"


@pytest.fixture(autouse=True)
def services(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the tests."""
    monkeypatch.setattr(account, "ensure_services", lambda say: nullcontext())


def add(monkeypatch: pytest.MonkeyPatch, name: str, *words: str, password: str = PASSWORD) -> str:
    monkeypatch.setattr("sys.stdin", StringIO(f"{password}\n"))
    said = StringIO()
    call_command("account", name, *words, stdout=said)
    return said.getvalue()


def test_who_is_added_can_sign_in_and_is_not_staff(monkeypatch: pytest.MonkeyPatch) -> None:
    assert add(monkeypatch, "ada") == "ada can sign in now.\n"
    assert not User.objects.get(username="ada").is_staff
    assert Client().login(username="ada", password=PASSWORD)


def test_staff_is_added_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    add(monkeypatch, "ada", "--staff")
    added = User.objects.get(username="ada")
    assert added.is_staff and not added.is_superuser


@pytest.mark.parametrize(
    ("name", "password", "said"),
    [
        ("ada", PASSWORD, "ada has an account already"),
        ("eve", "short", "at least 8 characters"),
        ("eve", "password", "too common"),
        ("<eve>", PASSWORD, "valid username"),
        ("eve", "", "required"),
    ],
)
def test_what_makes_no_account_is_refused_in_words(
    monkeypatch: pytest.MonkeyPatch, name: str, password: str, said: str
) -> None:
    add(monkeypatch, "ada")
    with pytest.raises(CommandError, match=said):
        add(monkeypatch, name, password=password)
    assert User.objects.count() == 1


def test_a_password_that_is_typed_is_asked_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter([PASSWORD, "another password", PASSWORD, PASSWORD])
    monkeypatch.setattr(account, "getpass", lambda prompt: next(typed))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    with pytest.raises(CommandError, match="two different passwords"):
        call_command("account", "ada", stdout=StringIO())
    call_command("account", "ada", stdout=StringIO())
    assert Client().login(username="ada", password=PASSWORD)
