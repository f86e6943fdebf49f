"""The one-time link that makes the first user."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.core import signing
from django.test import Client

from webapp.accounts.setup import MAX_AGE_SECONDS, local_user, setup_path

GIVEN = {"username": "ada", "password": "correct horse battery"}


@pytest.fixture
def link(db: None) -> str:
    path = setup_path()
    assert path is not None
    return path


def test_the_link_makes_the_one_who_looks_after_the_server_and_signs_them_in(
    link: str, stranger_client: Client
) -> None:
    assert stranger_client.get(link).status_code == 200
    assert stranger_client.post(link, GIVEN).url == "/"
    user = User.objects.get()
    assert (user.username, user.is_staff, user.is_superuser) == ("ada", True, True)
    assert stranger_client.get("/").status_code == 200


def test_the_link_is_worth_nothing_once_somebody_can_sign_in(link: str, owner: User, stranger_client: Client) -> None:
    assert setup_path() is None
    assert stranger_client.get(link).status_code == 410
    assert stranger_client.post(link, GIVEN).status_code == 410
    assert not User.objects.filter(username="ada").exists()


def test_a_forged_link_is_refused(link: str, stranger_client: Client) -> None:
    assert stranger_client.post(f"{link[:-3]}xx/", GIVEN).status_code == 410
    assert not User.objects.exists()


def test_a_link_ends_after_a_week(link: str, stranger_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    now = signing.time.time()
    monkeypatch.setattr(signing.time, "time", lambda: now + MAX_AGE_SECONDS + 1)
    answer = stranger_client.get(link)
    assert answer.status_code == 410
    assert "prints a new one" in answer.content.decode()


def test_a_weak_password_is_refused_and_the_name_is_kept(link: str, stranger_client: Client) -> None:
    page = stranger_client.post(link, {"username": "ada", "password": "password"}).content.decode()
    assert "too common" in page
    assert 'value="ada"' in page
    assert not User.objects.exists()


def test_the_first_user_takes_over_what_was_run_from_the_terminal(link: str, stranger_client: Client) -> None:
    terminal = local_user()
    assert local_user() == terminal
    stranger_client.post(link, GIVEN)
    assert User.objects.get().pk == terminal.pk
    assert User.objects.get().check_password(GIVEN["password"])


def test_the_terminal_belongs_to_who_looks_after_the_server(db: None) -> None:
    admin = User.objects.create_superuser("ada", password=GIVEN["password"])
    User.objects.create_user("member", password=GIVEN["password"])
    assert local_user() == admin
