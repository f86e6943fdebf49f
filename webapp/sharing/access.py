"""Who may do what with a run: the one rule that every page, file and socket about runs begins with.

    viewer   sees the run, its candidates with their answers and marks, comparisons and downloads
    editor   besides pauses, resumes, stops and renames it, asks for probes and downloads, and marks candidates
    owner    besides shares and deletes it, and breeds from it: a model that is bred, and a run that follows, belong to the owner of the run

A viewer or an editor is whom the owner has shared the run with, and who is a member of the project that the run is in.

To everybody else, whoever looks after the server included, a run does not exist.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args
from uuid import UUID

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.shortcuts import get_object_or_404

from webapp.accounts.roles import is_viewer
from webapp.runs.models import Run
from webapp.sharing.models import Membership, Placement, Role, Share


def runs_of(user: User) -> QuerySet[Run]:
    """The runs that this person may see: their own, and those that are shared with them. For pages each says `is_own` and `may_edit`."""
    visible = Run.objects.filter(Q(owner=user) | _with_role(user), deleted_at=None)
    return visible.annotate(is_own=Q(owner=user), may_edit=_may_edit(user))


def editable_by(user: User) -> QuerySet[Run]:
    """The runs that this person may steer."""
    return runs_of(user).filter(_may_edit(user))


def owned_by(user: User) -> QuerySet[Run]:
    """This person's own runs."""
    return runs_of(user).filter(owner=user)


def run_or_refusal(allowed: Callable[[User], QuerySet[Run]], user: User, run_id: UUID) -> Run:
    """One of the runs that `allowed` gives this person; Http404 where they may not see it, PermissionDenied where they may, but no more."""
    if found := allowed(user).select_related("owner").filter(pk=run_id).first():
        return found
    run = get_object_or_404(runs_of(user).select_related("owner"), pk=run_id)
    owner = run.owner.get_username()
    raise PermissionDenied(
        f"“{run.name}” belongs to {owner}, who has shared it with you, but not for this. Ask {owner}."
    )


def _may_edit(user: User) -> Q:
    """Whose role on the server is viewer steers nothing."""
    return Q(pk__in=[]) if is_viewer(user) else Q(owner=user) | _with_role(user, "editor")


def _with_role(user: User, *roles: Role) -> Q:
    """The runs that are shared with this person, alone or by a project, in one of these roles; without any, in whatever role."""
    in_role = {"role__in": roles or get_args(Role), "user": user}
    members = Membership.objects.filter(**in_role).values("project")
    return Q(pk__in=Share.objects.filter(**in_role).values("run")) | Q(
        pk__in=Placement.objects.filter(project__in=members).values("run")
    )
