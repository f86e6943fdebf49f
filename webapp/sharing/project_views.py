"""Projects: one's own and those that one is a member of, their runs and members; and which project a run is in."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.forms import Form
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from webapp.accounts.requests import SignedIn
from webapp.quotas import QuotaError
from webapp.runs import listing
from webapp.sharing import projects as acts
from webapp.sharing.access import owned_by, run_or_refusal, runs_of
from webapp.sharing.forms import ROLES, PlaceForm, ProjectForm, ShareForm
from webapp.sharing.models import Project

N_ON_A_PAGE: Final = 50


@require_http_methods(["GET", "HEAD", "POST"])
def projects(request: SignedIn) -> HttpResponse:
    """The projects that one is a member of; posted, one more."""
    form = ProjectForm(request.POST or None)
    if form.is_valid():
        try:
            return redirect("sharing:project", acts.begin(request.user, form.cleaned_data["name"]).pk)
        except QuotaError as error:
            form.add_error("name", f"{error}.")
    page = Paginator(acts.counted(acts.projects_of(request.user)), N_ON_A_PAGE).get_page(request.GET.get("page"))
    return render(request, "sharing/projects.html", {"page": page, "form": form})


@require_safe
def project(request: SignedIn, project_id: UUID) -> HttpResponse:
    """Its runs, newest first, and its members."""
    found = _visible(request, project_id)
    runs = runs_of(request.user).filter(placement__project=found).select_related("owner")
    page = Paginator(runs, listing.PER_PAGE).get_page(request.GET.get("page"))
    context: dict[str, Any] = {
        "project": found,
        "is_own": found.owner_id == request.user.pk,
        "page": page,
        "rows": listing.rows(list(page)),
        "members": found.memberships.select_related("user"),
        "roles": ROLES,
        "form": ProjectForm(initial={"name": found.name}),
    }
    return render(request, "sharing/project.html", context)


@require_POST
def rename(request: SignedIn, project_id: UUID) -> HttpResponse:
    """Give one's own project another name."""
    found, form = _own(request, project_id), ProjectForm(request.POST)
    if form.is_valid():
        Project.objects.filter(pk=found.pk).update(name=form.cleaned_data["name"])
    else:
        messages.error(request, _said(form))
    return redirect("sharing:project", found.pk)


@require_POST
def delete(request: SignedIn, project_id: UUID) -> HttpResponse:
    """Delete one's own project. Its runs stay with their owners."""
    found = _own(request, project_id)
    found.delete()
    messages.success(request, f"The project {found.name} is deleted. Its runs are with their owners.")
    return redirect("sharing:projects")


@require_POST
def invite(request: SignedIn, project_id: UUID) -> HttpResponse:
    """Make somebody a member of one's own project, or give a member another role."""
    found = _own(request, project_id)
    form = ShareForm(found, request.POST)
    if form.is_valid():
        acts.admit(found, form.person, form.cleaned_data["role"])
        messages.success(request, f"{form.person} is a member of {found.name}, {form.cleaned_data['role']}.")
    else:
        messages.error(request, _said(form))
    return _members(found)


@require_POST
def remove_member(request: SignedIn, project_id: UUID, membership_id: int) -> HttpResponse:
    """Take a role away: of anybody else in one's own project, and one's own in that of somebody else."""
    found = _visible(request, project_id)
    others = found.memberships.select_related("user").exclude(user=found.owner_id)
    is_own = found.owner_id == request.user.pk
    membership = get_object_or_404(others if is_own else others.filter(user=request.user), pk=membership_id)
    acts.dismiss(membership)
    if not is_own:
        messages.success(request, f"You are no member of {found.name} any more.")
        return redirect("sharing:projects")
    messages.success(request, f"{membership.user} is no member of {found.name} any more.")
    return _members(found)


@require_POST
def displace(request: SignedIn, project_id: UUID, run_id: UUID) -> HttpResponse:
    """Take anybody's run out of one's own project."""
    found = _own(request, project_id)
    run = get_object_or_404(runs_of(request.user).filter(placement__project=found), pk=run_id)
    acts.place(run, None)
    messages.success(request, f"{run.name} is no longer in {found.name}.")
    return redirect("sharing:project", found.pk)


@require_POST
def place(request: SignedIn, run_id: UUID) -> HttpResponse:
    """Put one's own run into a project where one is an editor, or take it out of the one that it is in."""
    run = run_or_refusal(owned_by, request.user, run_id)
    form = PlaceForm(request.user, request.POST)
    if form.is_valid():
        chosen: Project | None = form.cleaned_data["project"]
        acts.place(run, chosen)
        messages.success(request, f"{run.name} is in {chosen}." if chosen else f"{run.name} is in no project.")
    else:
        messages.error(request, _said(form))
    return redirect(f"{reverse('runs:detail', args=[run.pk])}#project")


def _visible(request: SignedIn, project_id: UUID) -> Project:
    return get_object_or_404(acts.projects_of(request.user).select_related("owner"), pk=project_id)


def _own(request: SignedIn, project_id: UUID) -> Project:
    found = _visible(request, project_id)
    if found.owner_id != request.user.pk:
        raise PermissionDenied(f"“{found.name}” is a project of {found.owner}: ask {found.owner}.")
    return found


def _members(project: Project) -> HttpResponse:
    return redirect(f"{reverse('sharing:project', args=[project.pk])}#members")


def _said(form: Form) -> str:
    return " ".join(str(error) for errors in form.errors.values() for error in errors)
