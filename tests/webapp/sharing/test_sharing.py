"""Sharing a run: who appears where, with which buttons, and what is gone when a role is taken away."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tests.webapp.runs.rows import make_run
from webapp.runs.models import Run
from webapp.sharing.actions import share
from webapp.sharing.models import Share


@pytest.fixture
def run(owner: User) -> Run:
    return make_run(owner, n_generations=1, population=2, n_samples=10)


def give(client: Client, run: Run, name: str, role: str = "viewer") -> str:
    """What the page says after the form was sent."""
    address = reverse("sharing:share", args=[run.pk])
    return client.post(address, {"name": name, "role": role}, follow=True).content.decode()


def page(client: Client, run: Run) -> str:
    return client.get(reverse("runs:detail", args=[run.pk])).content.decode()


def test_a_shared_run_is_on_the_list_with_its_owner(run: Run, owner_client: Client, member_client: Client) -> None:
    assert run.name not in member_client.get("/").content.decode()
    assert "is shared with member, viewer" in give(owner_client, run, "member")
    listed = member_client.get("/").content.decode()
    assert run.name in listed and "shared by owner" in listed
    assert "shared by" not in owner_client.get("/").content.decode()


def test_sharing_again_changes_the_role(run: Run, member: User, owner_client: Client) -> None:
    give(owner_client, run, "member")
    give(owner_client, run, "member", "editor")
    assert [(row.user, row.role) for row in run.shares.all()] == [(member, "editor")]


@pytest.mark.parametrize(
    ("name", "role", "said"),
    [
        ("nobody", "viewer", "Nobody here is called nobody"),
        ("Member", "viewer", "Nobody here is called Member"),
        ("left", "viewer", "Nobody here is called left"),
        ("owner", "editor", "yours already"),
        ("member", "owner", "Select a valid choice"),
        ("member", "", "This field is required"),
        ("", "viewer", "This field is required"),
        ("member\x00", "viewer", "Null characters are not allowed"),
        ("m" * 151, "viewer", "at most 150 characters"),
    ],
)
def test_a_share_that_makes_no_sense_is_refused_in_words(
    run: Run, member: User, owner_client: Client, name: str, role: str, said: str
) -> None:
    User.objects.create_user("left", is_active=False)
    assert said in give(owner_client, run, name, role)
    at_the_field = owner_client.post(
        f"/runs/{run.pk}/people/", {"name": name, "role": role}, headers={"HX-Request": "true"}
    ).content.decode()
    assert said in at_the_field and 'aria-describedby="share-wrong"' in at_the_field
    assert not run.shares.exists()


def test_only_the_owner_sees_whom_it_is_shared_with(
    run: Run, member: User, owner_client: Client, member_client: Client
) -> None:
    share(run, member, "editor")
    share(run, User.objects.create_user("third"), "viewer")
    assert "third" in page(owner_client, run)
    assert "third" not in page(member_client, run)


def test_how_an_account_is_added_is_said_to_whoever_looks_after_the_server(
    run: Run, owner: User, owner_client: Client
) -> None:
    assert reverse("accounts:people") not in page(owner_client, run)
    User.objects.filter(pk=owner.pk).update(is_staff=True)
    assert reverse("accounts:people") in page(owner_client, run)


@pytest.mark.parametrize(
    ("role", "offered", "not_offered"),
    [
        ("viewer", {"runs:new"}, {"runs:pause", "runs:stop", "runs:delete", "exports:start", "lineage:as_parent"}),
        ("editor", {"runs:pause", "runs:stop", "exports:start"}, {"runs:delete", "lineage:as_parent"}),
    ],
)
def test_nobody_is_offered_what_would_be_refused(
    run: Run, member: User, member_client: Client, role: str, offered: set[str], not_offered: set[str]
) -> None:
    share(run, member, role)
    candidate = run.candidates.get(name="g0.0")
    of_run, of_candidate = {"run_id": run.pk}, {"run_id": run.pk, "candidate_id": candidate.pk}
    pages = [member_client.get("/"), member_client.get(reverse("runs:candidate", kwargs=of_candidate))]
    text = page(member_client, run) + "".join(answer.content.decode() for answer in pages)

    def address(name: str) -> str:
        kwargs = {} if name == "runs:new" else of_run if name.startswith("runs:") else of_candidate
        return reverse(name, kwargs=kwargs)

    assert {name for name in offered | not_offered if address(name) in text} == offered


def test_an_ended_run_is_deleted_by_its_owner_alone(owner: User, member: User, member_client: Client) -> None:
    run = make_run(owner, n_generations=1, population=2, n_samples=10, state="done", ending=True)
    share(run, member, "editor")
    assert "Delete" not in member_client.get("/").content.decode()
    assert member_client.post(reverse("runs:delete", args=[run.pk])).status_code == 403
    run.refresh_from_db()
    assert run.deleted_at is None


def test_a_refusal_names_whom_to_ask(run: Run, member: User, member_client: Client) -> None:
    share(run, member, "viewer")
    answer = member_client.post(reverse("runs:stop", args=[run.pk]))
    assert answer.status_code == 403
    assert f"“{run.name}” belongs to owner" in answer.content.decode()
    run.refresh_from_db()
    assert run.state == "running"


def test_who_was_shared_with_may_leave_and_nobody_else_can_send_them_away(
    run: Run, member: User, member_client: Client
) -> None:
    mine, other = share(run, member, "editor"), share(run, User.objects.create_user("third"), "viewer")
    assert member_client.post(reverse("sharing:unshare", args=[run.pk, other.pk])).status_code == 404
    answer = member_client.post(reverse("sharing:unshare", args=[run.pk, mine.pk]), follow=True)
    assert f"{run.name} is off your list." in answer.content.decode()
    assert list(Share.objects.all()) == [other]


def test_who_is_no_longer_shared_with_finds_nothing(run: Run, member: User, owner_client: Client) -> None:
    row = share(run, member, "editor")
    answer = owner_client.post(reverse("sharing:unshare", args=[run.pk, row.pk]), follow=True)
    assert "is no longer shared with member" in answer.content.decode()
    client = Client()
    client.force_login(member)
    assert client.get(reverse("runs:detail", args=[run.pk])).status_code == 404


def test_a_run_shared_with_many_is_listed_once(run: Run, owner_client: Client) -> None:
    for name in ("a", "b", "c"):
        share(run, User.objects.create_user(name), "viewer")
    assert owner_client.get("/").context["page"].paginator.count == 1


def test_a_download_that_an_editor_asks_for_is_the_owners(run: Run, member: User, member_client: Client) -> None:
    """It stays when the editor's account goes."""
    share(run, member, "editor")
    candidate = run.candidates.get(name="g0.0")
    member_client.post(reverse("exports:start", args=[run.pk, candidate.pk]))
    member.delete()
    candidate.refresh_from_db()
    assert candidate.exports.get().owner == run.owner


def test_a_page_names_no_run_that_is_not_shared(
    run: Run, owner: User, member: User, owner_client: Client, member_client: Client
) -> None:
    """Neither the random search that it is compared with, nor what that is compared with."""
    rival = make_run(owner, n_generations=1, population=2, n_samples=10, name="the secret rival")
    Run.objects.filter(pk=rival.pk).update(baseline_of=run)
    share(run, member, "viewer")
    assert str(rival.pk) in page(owner_client, run) and str(rival.pk) not in page(member_client, run)
    share(rival, member, "viewer")
    run.shares.all().delete()
    assert str(run.pk) in page(owner_client, rival) and str(run.pk) not in page(member_client, rival)
