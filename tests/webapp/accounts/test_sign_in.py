"""Signing in and out."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client


def test_a_page_asks_a_stranger_to_sign_in_and_then_shows_itself(owner: User, stranger_client: Client) -> None:
    asked = stranger_client.get("/models/")
    assert asked.url == "/sign-in/?next=/models/"
    answer = stranger_client.post(asked.url, {"username": "owner", "password": "owner's password", "next": "/models/"})
    assert answer.url == "/models/"


def test_a_wrong_password_is_refused_in_words(owner: User, stranger_client: Client) -> None:
    answer = stranger_client.post("/sign-in/", {"username": "owner", "password": "wrong"})
    assert "No account has this name and password" in answer.content.decode()


def test_sign_in_leads_to_no_other_site(owner: User, stranger_client: Client) -> None:
    asked = {"username": "owner", "password": "owner's password", "next": "https://example.org/"}
    assert stranger_client.post("/sign-in/", asked).url == "/"


def test_sign_out_needs_a_post_and_ends_the_session(owner_client: Client) -> None:
    assert owner_client.get("/sign-out/").status_code == 405
    owner_client.post("/sign-out/")
    assert owner_client.get("/").url == "/sign-in/?next=/"


@pytest.mark.parametrize("person", ["owner_client", "member_client"])
def test_who_is_signed_in_goes_home(person: str, request: pytest.FixtureRequest) -> None:
    assert request.getfixturevalue(person).get("/sign-in/").url == "/"


def test_sign_in_says_where_the_first_account_comes_from(db: None, stranger_client: Client) -> None:
    assert "one-time link" in stranger_client.get("/sign-in/").content.decode()
