"""The runs list: home; and its archive."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from merging.words import counted
from webapp.accounts.requests import SignedIn
from webapp.runs import archive, listing
from webapp.sharing.access import runs_of
from webapp.sharing.projects import projects_of, with_projects

RUN_ID: Final = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@require_safe
def runs(request: SignedIn) -> HttpResponse:
    """One's own runs and those shared with one, newest first; htmx gets the list alone. What is shown is in the address."""
    visible = runs_of(request.user)
    show, of = request.GET.get("show", "all"), request.GET.get("of", "all")
    words = request.GET.get("q", "").replace("\x00", "").strip()
    projects = list(projects_of(request.user).order_by("name"))
    project = next((one for one in projects if str(one.pk) == request.GET.get("project")), None)
    if project:
        visible = visible.filter(placement__project=project)
    by_state, by_owner = listing.facets(visible)
    chosen = with_projects(listing.filtered(visible, show, of, words), request.user).select_related("owner")
    page = Paginator(chosen, listing.PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "rows": listing.rows(list(page)),
        "page": page,
        "show": show if show in (*listing.SHOWN, listing.ARCHIVED) else "all",
        "of": of if of in listing.OWNERS else "all",
        "words": words,
        "by_state": by_state,
        "by_owner": by_owner,
        "projects": projects,
        "project": project,
        "query": urlencode({"project": project.pk}) if project else "",
        "any_run": any(facet.n for facet in by_state) or project is not None,
        "is_moving": any(facet.n for facet in by_state if facet.name in ("live", "paused")),
    }
    return render(request, "runs/_list.html" if request.htmx else "runs/list.html", context)


@require_POST
def put_away(request: SignedIn) -> HttpResponse:
    """Archive the runs that are ticked, or with `back` put them on the list again."""
    ticked = [UUID(run) for run in request.POST.getlist("run") if RUN_ID.fullmatch(run)]
    if "back" in request.POST:
        n, done = archive.take_back(request.user, ticked), "on the list again"
    else:
        n, done = archive.put_away(request.user, ticked), "archived"
    if n:
        messages.success(request, f"{counted(n, 'run')} {'is' if n == 1 else 'are'} {done}.")
    else:
        messages.error(request, "Nothing has changed: tick runs of your own that have ended.")
    return redirect("runs:list")
