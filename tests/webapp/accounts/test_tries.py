"""How often somebody may try to sign in, and who is not kept out by it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, RequestFactory

from webapp.accounts import tries
from webapp.accounts.models import Tries

RIGHT = "owner's password"


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every password that reached a hasher."""
    from django.contrib.auth.hashers import MD5PasswordHasher

    found: list[str] = []
    encode = MD5PasswordHasher.encode

    def counted(self: MD5PasswordHasher, password: str, salt: str) -> str:
        found.append(password)
        return str(encode(self, password, salt))

    monkeypatch.setattr(MD5PasswordHasher, "encode", counted)
    return found


def sign_in(name: str, password: str, address: str = "192.0.2.1", client: Client | None = None) -> Any:
    return (client or Client()).post("/sign-in/", {"username": name, "password": password}, REMOTE_ADDR=address)


def test_of_a_hundred_tries_few_reach_the_hasher_and_nobody_else_is_kept_out(
    owner: User, member: User, hashed: list[str]
) -> None:
    answers = [sign_in("owner", f"guess {i}") for i in range(100)]
    assert len(hashed) <= 10
    assert [one.status_code for one in answers[:5]] == [200] * 5
    last = answers[-1]
    assert (last.status_code, last.headers["Retry-After"]) == (429, "60")
    assert "Too many tries. Wait a minute" in last.content.decode()
    assert sign_in("owner", RIGHT).status_code == 429
    assert sign_in("owner", RIGHT, address="192.0.2.2").status_code == 302


def test_another_user_signs_in_from_an_address_where_somebody_guesses(owner: User, member: User) -> None:
    for i in range(tries.MAX_FOR_NAME + 1):
        sign_in("owner", f"guess {i}")
    assert sign_in("member", "member's password").status_code == 302


def test_a_minute_later_one_may_try_again(owner: User) -> None:
    for i in range(tries.MAX_FOR_NAME + 1):
        sign_in("owner", f"guess {i}")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_tries SET opened = opened - interval '61 seconds'")
    assert sign_in("owner", RIGHT).status_code == 302
    assert Tries.objects.count() == 2  # what is over is not kept


def test_who_knows_the_password_may_sign_in_as_often_as_they_like(owner: User) -> None:
    assert {sign_in("owner", RIGHT).status_code for _ in range(3 * tries.MAX_FOR_NAME)} == {302}


def test_one_password_on_many_names_is_slowed_down_too(owner: User) -> None:
    answers = [sign_in(f"name {i}", "spring2026").status_code for i in range(tries.MAX_FROM_ADDRESS + 5)]
    assert answers == [200] * tries.MAX_FROM_ADDRESS + [429] * 5
    assert Tries.objects.count() == tries.MAX_FROM_ADDRESS + 1  # refused tries leave nothing behind


def test_an_unknown_name_has_the_same_answer_and_the_same_work(owner: User, hashed: list[str]) -> None:
    User.objects.create_user("gone", password="gone's password", is_active=False)
    User.objects.create_user("terminal")  # without a password
    pages, n_hashed = [], []
    for name in ("owner", "nobody", "gone", "terminal"):
        hashed.clear()
        answer = sign_in(name, "wrong")
        pages.append((answer.status_code, answer.context["form"].non_field_errors()))
        n_hashed.append(len(hashed))
    assert pages == [pages[0]] * 4
    assert n_hashed == [1] * 4
    for _ in range(10):
        refused = [sign_in(name, "wrong").status_code for name in ("owner", "nobody")]
        assert refused[0] == refused[1]


def test_addresses_are_networks_as_a_household_has_them() -> None:
    def address_of(written: str) -> str:
        return tries.address_of(RequestFactory().post("/sign-in/", REMOTE_ADDR=written))

    assert address_of("192.0.2.1") != address_of("192.0.2.2")
    assert address_of("2001:db8::1") == address_of("2001:db8::ffff:1") != address_of("2001:db8:0:1::1")
    assert address_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert address_of("") == address_of("unix:") == ""


def test_signing_in_begins_a_new_session_and_ends_the_old(owner: User) -> None:
    client = Client()
    session = client.session
    session["planted"] = True
    session.save()
    before = session.session_key
    client.cookies["progeny_session"] = before
    assert sign_in("owner", RIGHT, client=client).status_code == 302
    after = client.cookies["progeny_session"].value
    assert after != before
    old = Client()
    old.cookies["progeny_session"] = before
    assert old.get("/").status_code == 302  # to sign-in


@pytest.mark.django_db(transaction=True)
def test_parallel_tries_count_together(hashed: list[str]) -> None:
    User.objects.create_user("owner", password=RIGHT)
    hashed.clear()

    def guess(i: int) -> int:
        try:
            return int(sign_in("owner", f"guess {i}").status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(guess, range(40)))
    assert answers.count(200) == tries.MAX_FOR_NAME
    assert len(hashed) == tries.MAX_FOR_NAME
