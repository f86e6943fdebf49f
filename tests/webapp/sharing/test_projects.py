"""Projects: whoever is a member sees and steers its runs in their role, alone by that, and no longer than they are one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tests.webapp.runs.choices import form, library
from tests.webapp.runs.rows import make_run
from webapp.api.tokens import make
from webapp.people.models import Act
from webapp.queue import queue
from webapp.runs.models import Run
from webapp.sharing.access import editable_by, owned_by, runs_of
from webapp.sharing.models import Membership, Placement, Project
from webapp.sharing.projects import admit, begin, dismiss, follow, place, place_launched, with_projects


@pytest.fixture
def project(owner: User) -> Project:
    return begin(owner, "Reasoning in Japanese")


@pytest.fixture
def run(owner: User, project: Project) -> Run:
    made = make_run(owner)
    place(made, project)
    return made


def page(client: Client, run: Run) -> str:
    answer = client.get(reverse("runs:detail", args=[run.pk]))
    assert answer.status_code == 200
    return str(answer.content.decode())


def moved(client: Client, run: Run, project: Project | None) -> int:
    sent = {"project": str(project.pk) if project else ""}
    return int(client.post(reverse("sharing:place", args=[run.pk]), sent).status_code)


@pytest.mark.parametrize(("role", "may_edit"), [("viewer", False), ("editor", True)])
def test_a_member_has_their_role_in_its_runs(
    member: User, member_client: Client, project: Project, run: Run, role: Any, may_edit: bool
) -> None:
    assert not runs_of(member).exists()
    membership = admit(project, member, role)
    assert [one.may_edit for one in runs_of(member)] == [may_edit]
    assert (editable_by(member).exists(), owned_by(member).exists()) == (may_edit, False)
    shown = page(member_client, run)
    assert "through the project" in shown and project.name in shown and ("may steer it" in shown) is may_edit
    dismiss(membership)
    assert not runs_of(member).exists()
    assert member_client.get(reverse("runs:detail", args=[run.pk])).status_code == 404


def test_who_sees_a_run_otherwise_hears_nothing_of_its_project(member: User, member_client: Client, run: Run) -> None:
    member_client.get(reverse("runs:list"))
    run.shares.create(user=member, role="viewer")
    assert "Reasoning in Japanese" not in page(member_client, run)
    assert "Reasoning in Japanese" not in member_client.get(reverse("runs:list")).content.decode()
    [seen] = with_projects(runs_of(member), member)
    assert (seen.project_id, seen.project_name) == (None, None)


def test_an_owner_moves_a_run_into_projects_where_they_are_an_editor_alone(
    owner: User, owner_client: Client, member: User, project: Project
) -> None:
    run, theirs = make_run(owner), begin(member, "Theirs")
    assert "Begin a project" not in page(owner_client, run) and "Only you see this run." in page(owner_client, run)
    for refused in (theirs, None):
        moved(owner_client, run, refused)
        assert not Placement.objects.exists()
        admit(theirs, owner, "viewer")
    admit(theirs, owner, "editor")
    moved(owner_client, run, theirs)
    assert run.placement.project == theirs and "members of its project see this run" in page(owner_client, run)
    assert [one.pk for one in runs_of(member)] == [run.pk]
    moved(owner_client, run, project)
    assert not runs_of(member).exists()
    moved(owner_client, run, None)
    assert not Placement.objects.exists()
    assert Act.objects.filter(words="changed the project of", name=run.name).count() == 5


def test_nobody_moves_the_run_of_somebody_else(member: User, member_client: Client, project: Project, run: Run) -> None:
    admit(project, member, "editor")
    assert moved(member_client, run, begin(member, "Theirs")) == 403 and moved(member_client, run, None) == 403
    assert Placement.objects.get().project == project


def test_whoever_leaves_takes_their_runs_along(
    owner: User, owner_client: Client, member: User, member_client: Client, project: Project, run: Run
) -> None:
    membership, theirs = admit(project, member, "editor"), make_run(member, name="Theirs")
    place(theirs, project)
    assert {one.pk for one in runs_of(owner)} == {run.pk, theirs.pk}
    there = reverse("sharing:project", args=[project.pk])
    assert "Theirs" in owner_client.get(there).content.decode()
    assert member_client.post(reverse("sharing:project_leave", args=[project.pk, membership.pk])).status_code == 302
    assert [one.pk for one in runs_of(owner)] == [run.pk] and [one.pk for one in runs_of(member)] == [theirs.pk]
    assert member_client.get(there).status_code == 404


def test_its_owner_stays_and_takes_runs_out(
    owner: User, owner_client: Client, member: User, project: Project, run: Run
) -> None:
    own = Membership.objects.get(project=project, user=owner)
    assert owner_client.post(reverse("sharing:project_leave", args=[project.pk, own.pk])).status_code == 404
    owner_client.post(reverse("sharing:project_member", args=[project.pk]), {"name": "owner", "role": "viewer"})
    assert Membership.objects.get(project=project).role == "editor"
    admit(project, member, "editor")
    theirs = make_run(member, name="Theirs")
    place(theirs, project)
    assert owner_client.post(reverse("sharing:project_displace", args=[project.pk, theirs.pk])).status_code == 302
    assert not runs_of(owner).filter(pk=theirs.pk).exists() and runs_of(member).filter(pk=theirs.pk).exists()


def test_deleting_it_leaves_runs_with_their_owners(
    owner: User, owner_client: Client, member: User, project: Project, run: Run
) -> None:
    admit(project, member, "editor")
    assert owner_client.post(reverse("sharing:project_delete", args=[project.pk])).status_code == 302
    assert runs_of(owner).get().pk == run.pk and not runs_of(member).exists()


def test_the_list_of_runs_shows_one_project_alone(
    owner: User, owner_client: Client, project: Project, run: Run
) -> None:
    other = make_run(owner, name="Another")
    address = reverse("runs:list")
    shown = owner_client.get(f"{address}?project={project.pk}&show=all&q=").content.decode()
    assert f"run-{run.pk}" in shown and f"run-{other.pk}" not in shown and f"&amp;project={project.pk}" in shown
    for unknown in ("x", "\0", str(other.pk)):
        assert f"run-{other.pk}" in owner_client.get(address, {"project": unknown}).content.decode()


def test_a_run_that_follows_and_a_random_search_are_in_the_project(owner: User, project: Project, run: Run) -> None:
    then, beside = make_run(owner, name="then"), make_run(owner, name="beside")
    Run.objects.filter(pk=beside.pk).update(baseline_of=then)
    follow(run, then)
    assert Placement.objects.filter(project=project).count() == 3
    place_launched(run, begin(owner, "Another"))
    assert Placement.objects.filter(project=project).count() == 2


def test_programs_see_and_choose_projects(owner: User, member: User, project: Project, run: Run) -> None:
    programs = {
        user: Client(headers={"Authorization": f"Bearer {make(user, 'a program', ('runs',), 1)[1]}"})
        for user in (owner, member)
    }
    admit(project, User.objects.create_user("third"), "viewer")
    [item] = json.loads(programs[owner].get(reverse("api:list_projects")).content)["items"]
    assert (item["id"], item["role"], item["n_runs"], item["n_members"]) == (str(project.pk), "editor", 1, 2)
    runs = reverse("api:list_runs")
    make_run(owner, name="Another")
    [found] = json.loads(programs[owner].get(runs, {"project": project.pk}).content)["items"]
    assert found["project"] == {"id": str(project.pk), "name": project.name}
    run.shares.create(user=member, role="viewer")
    assert json.loads(programs[member].get(runs, {"project": project.pk}).content)["items"] == []
    there = reverse("api:place_run", args=[run.pk])

    def put(number: str | None) -> Any:
        return programs[owner].put(there, json.dumps({"project": number}), content_type="application/json")

    assert json.loads(put(None).content)["project"] is None
    refused = put(str(begin(member, "Theirs").pk))
    assert refused.status_code == 422 and json.loads(refused.content)["errors"][0]["at"] == "body.project"
    assert json.loads(put(str(project.pk)).content)["project"]["name"] == project.name


def test_a_run_is_launched_in_a_project(
    owner: User, owner_client: Client, member: User, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "send_task", lambda *words, **options: None)
    chosen, new = library(owner, tmp_path), reverse("runs:new")
    option = f'value="{project.pk}" selected'
    assert option in owner_client.get(f"{new}?project={project.pk}").content.decode()
    theirs = form(chosen, project=str(begin(member, "Theirs").pk))
    assert owner_client.post(new, theirs).status_code == 200 and not Run.objects.exists()
    sent = form(chosen, project=str(project.pk), random_search="on")
    assert owner_client.post(new, sent).status_code == 302
    assert Placement.objects.filter(project=project).count() == Run.objects.count() == 2
    first = Run.objects.get(baseline_of=None)
    assert option in owner_client.get(f"{new}?like={first.pk}").content.decode()
    program = Client(headers={"Authorization": f"Bearer {make(owner, 'a program', ('runs',), 1)[1]}"})
    body = {"like": str(first.pk), "project": str(project.pk)}
    answer = program.post(reverse("api:create_run"), json.dumps(body), content_type="application/json")
    assert answer.status_code == 201 and json.loads(answer.content)["project"]["id"] == str(project.pk)
