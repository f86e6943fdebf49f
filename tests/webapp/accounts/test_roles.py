"""Roles on the server: what a viewer is refused in words, who changes whose role, and invitations that make one account each."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tests.webapp.runs.rows import make_run
from webapp.accounts import invites
from webapp.accounts.models import Invite
from webapp.accounts.roles import REFUSAL, Role, role_of, set_role
from webapp.api.tokens import make
from webapp.people.models import Act
from webapp.runs.models import Run
from webapp.sharing.access import editable_by, runs_of
from webapp.sharing.actions import share

PASSWORD = "a good password"


@pytest.fixture
def admin(db: None) -> User:
    return User.objects.create_user("ada", is_staff=True)


@pytest.fixture
def admin_client(admin: User) -> Client:
    client = Client()
    client.force_login(admin)
    return client


@pytest.fixture
def run(owner: User, member: User) -> Run:
    """The member edits it, and is a viewer on the server."""
    made = make_run(owner)
    share(made, member, "editor")
    set_role(member, "viewer")
    return made


def test_a_viewer_sees_what_is_shared_and_is_told_why_the_rest_is_refused(member_client: Client, run: Run) -> None:
    page = member_client.get(reverse("runs:detail", args=[run.pk]))
    assert page.status_code == 200 and "change nothing" in page.content.decode()
    assert reverse("runs:pause", args=[run.pk]) not in page.content.decode()
    for route in ("runs:pause", "runs:stop", "runs:rename"):
        answer = member_client.post(reverse(route, args=[run.pk]), {"name": "x"})
        assert answer.status_code == 403 and REFUSAL in answer.content.decode(), route
    assert REFUSAL in member_client.get(reverse("runs:new")).content.decode()
    assert "New run</a>" not in member_client.get(reverse("runs:list")).content.decode()


def test_who_is_a_viewer_costs_no_query(
    member: User, member_client: Client, run: Run, django_assert_max_num_queries: Any
) -> None:
    user = member_client.get(reverse("accounts:account")).wsgi_request.user
    with django_assert_max_num_queries(0):
        assert user.viewer is not None
    assert list(editable_by(member)) == [] and [one.may_edit for one in runs_of(member)] == [False]


def test_a_viewer_s_token_reads_and_writes_nothing(member: User, run: Run) -> None:
    word = make(member, "a program", ("runs", "exports"), 1)[1]
    program = Client(headers={"Authorization": f"Bearer {word}"})
    assert program.get(reverse("api:get_run", args=[run.pk])).status_code == 200
    answer = program.post(reverse("api:pause_run", args=[run.pk]))
    assert answer.status_code == 403 and json.loads(answer.content)["detail"] == REFUSAL
    assert json.loads(program.get(reverse("api:get_me")).content)["role"] == "viewer"


def test_a_viewer_still_looks_after_their_own_account(member: User, member_client: Client) -> None:
    set_role(member, "viewer")
    new = {"old_password": "member's password", "new_password1": PASSWORD, "new_password2": PASSWORD}
    assert member_client.post(reverse("accounts:change_password"), new).status_code == 302
    assert member_client.post(reverse("accounts:logout")).status_code == 302


@pytest.mark.parametrize("role", ["admin", "member", "viewer"])
def test_an_admin_changes_a_role_and_it_counts_at_once(
    admin_client: Client, member: User, member_client: Client, role: Role
) -> None:
    set_role(member, "viewer" if role == "member" else "member")
    assert admin_client.post(reverse("accounts:change_role", args=[member.pk]), {"role": role}).status_code == 302
    assert role_of(User.objects.get(pk=member.pk)) == role
    assert member_client.get(reverse("runs:new")).status_code == (403 if role == "viewer" else 200)
    act = Act.objects.get(words="changed the role of")
    assert (act.name, act.detail, act.owner) == ("member", role, member.pk)


def test_nobody_takes_away_their_own_account_or_that_of_who_set_it_up(admin: User, admin_client: Client) -> None:
    first = User.objects.create_superuser("first")
    for user in (admin, first):
        assert admin_client.post(reverse("accounts:change_role", args=[user.pk]), {"role": "viewer"}).status_code == 403
        assert admin_client.post(reverse("accounts:switch", args=[user.pk])).status_code == 403
    assert User.objects.filter(is_staff=True, is_active=True).count() == 2


def test_an_account_that_is_switched_off_is_signed_out_and_comes_back(
    admin_client: Client, member: User, member_client: Client
) -> None:
    word = make(member, "a program", (), 1)[1]
    program = Client(headers={"Authorization": f"Bearer {word}"})
    there = reverse("accounts:switch", args=[member.pk])
    for sent, page, api in (({}, 302, 401), ({"on": "1"}, 200, 200)):
        admin_client.post(there, sent)
        assert member_client.get(reverse("runs:list")).status_code == page
        assert program.get(reverse("api:get_me")).status_code == api
    assert "switched off<" not in admin_client.get(reverse("accounts:people")).content.decode()


def test_an_invitation_makes_one_account_in_its_role(admin_client: Client, member: User) -> None:
    page = admin_client.post(reverse("accounts:invite"), {"role": "viewer"})
    found = re.search(r"http://testserver(/join/[\w-]+/)", page.content.decode())
    assert page.status_code == 201 and found
    assert found[1] not in admin_client.get(reverse("accounts:people")).content.decode()
    guest = Client()
    assert "ada has invited you as a viewer" in guest.get(found[1]).content.decode().replace("\n", " ")
    taken = guest.post(found[1], {"username": "member", "password": PASSWORD})
    assert "is called so already" in taken.content.decode()
    assert guest.post(found[1], {"username": "eve", "password": PASSWORD}).status_code == 302
    assert role_of(User.objects.get(username="eve")) == "viewer" and guest.get(reverse("runs:list")).status_code == 200
    assert guest.get(found[1]).status_code == 410 and not Invite.objects.exists()
    assert Act.objects.filter(words="accepted an invitation with", who="eve").exists()


def _expired(admin: User) -> None:
    Invite.objects.update(expires="2026-01-01T00:00Z")


def _demoted(admin: User) -> None:
    set_role(admin, "member")


def _revoked(admin: User) -> None:
    Invite.objects.all().delete()


@pytest.mark.parametrize("end", [_expired, _demoted, _revoked])
def test_an_invitation_ends(admin: User, end: Any) -> None:
    key = invites.make(admin, "member")
    assert Client().get(reverse("accounts:join", args=[key])).status_code == 200
    end(admin)
    answer = Client().post(reverse("accounts:join", args=[key]), {"username": "eve", "password": PASSWORD})
    assert answer.status_code == 410 and not User.objects.filter(username="eve").exists()
