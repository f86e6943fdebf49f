"""Projects: whose they are, which runs are in them, and what changes there. Who may see and steer these runs is said in `access`."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery

from webapp.accounts.roles import is_viewer
from webapp.quotas import QuotaError, hold
from webapp.runs.models import Run
from webapp.sharing.models import Membership, Placement, Project, Role

MAX_PROJECTS = 200
"""Of one owner."""


def projects_of(user: User) -> QuerySet[Project]:
    """The projects that this person is a member of, newest first, each with their `role` in it."""
    mine = Membership.objects.filter(user=user, project=OuterRef("pk")).values("role")
    return _with(Membership.objects.filter(user=user)).annotate(role=Subquery(mine))


def open_to(user: User) -> QuerySet[Project]:
    """The projects that this person may put runs of their own into."""
    return Project.objects.none() if is_viewer(user) else _with(Membership.objects.filter(user=user, role="editor"))


def counted(projects: QuerySet[Project]) -> QuerySet[Project]:
    """With how many runs and members each has."""
    n_runs = Count("placements", filter=Q(placements__run__deleted_at=None), distinct=True)
    counts = projects.annotate(n_runs=n_runs, n_members=Count("memberships", distinct=True))
    return counts.select_related("owner").order_by("-created", "pk")


def with_projects(runs: QuerySet[Run], user: User) -> QuerySet[Run]:
    """With the `project_id`, `project_name` and `project_role` of each run's project, as far as this person may know of it: its own
    project is its owner's business and its members'.
    """
    placed = Placement.objects.filter(run=OuterRef("pk"))
    known = placed.filter(Q(run__owner=user) | Q(project__in=Membership.objects.filter(user=user).values("project")))
    role = Membership.objects.filter(user=user, project__placements__run=OuterRef("pk")).values("role")
    return runs.annotate(
        project_id=Subquery(known.values("project")[:1]),
        project_name=Subquery(known.values("project__name")[:1]),
        project_role=Subquery(role[:1]),
    )


@transaction.atomic
def begin(owner: User, name: str) -> Project:
    """An empty project. QuotaError where one has as many as one may have."""
    hold(owner)
    if Project.objects.filter(owner=owner).count() >= MAX_PROJECTS:
        raise QuotaError(f"{MAX_PROJECTS} projects of one's own are all that one may have: delete one")
    project = Project.objects.create(owner=owner, name=name)
    Membership.objects.create(project=project, user=owner, role="editor")
    return project


def admit(project: Project, person: User, role: Role) -> Membership:
    """Give somebody a role in all its runs; another than before, if they had one."""
    return Membership.objects.update_or_create(project=project, user=person, defaults={"role": role})[0]


@transaction.atomic
def dismiss(membership: Membership) -> None:
    """They see its runs no more, and theirs leave it: nobody is shown runs in a place that their owner cannot see."""
    Placement.objects.filter(project=membership.project_id, run__owner=membership.user_id).delete()
    membership.delete()


@transaction.atomic
def place(run: Run, project: Project | None) -> None:
    """Put a run into a project, whichever it was in before, or into none."""
    if project is None:
        Placement.objects.filter(run=run).delete()
    else:
        Placement.objects.update_or_create(run=run, defaults={"project": project})


def place_launched(run: Run, project: Project) -> None:
    """Put a run that was just launched into a project, and the random search beside it."""
    for one in (run, *run.baseline_runs.filter(owner=run.owner_id)):
        place(one, project)


def follow(first: Run, then: Run) -> None:
    """A run that follows another is in its project."""
    placement: Any = Placement.objects.filter(run=first).select_related("project").first()
    if placement:
        place_launched(then, placement.project)


def _with(memberships: QuerySet[Membership]) -> QuerySet[Project]:
    """By a subquery, so that members can be counted."""
    return Project.objects.filter(pk__in=memberships.values("project"))
