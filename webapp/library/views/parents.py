"""The page of the models that one may choose."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from merging.errors import ParentError
from webapp.accounts.requests import SignedIn
from webapp.library import actions
from webapp.library.fit import fit_of
from webapp.library.forms import ParentForm
from webapp.library.models import Parent
from webapp.library.views.hiding import hide, may_hide
from webapp.lineage.queries import open_origins

NUMBER: Final = re.compile(r"[0-9]{1,9}")


@require_http_methods(["GET", "HEAD", "POST"])
def parents(request: SignedIn) -> HttpResponse:
    """The models that one may choose, and whether those ticked fit; staff may post a folder to register."""
    if request.method == "POST" and not request.user.is_staff:
        raise PermissionDenied("On this server only staff registers folders: ask somebody who looks after it.")
    form = ParentForm(request.POST or None)
    if form.is_valid() and (parent := _registered(request.user, form)):
        messages.success(request, f"{parent.name} can be chosen now.")
        return redirect("library:parents")
    chosen = _chosen(request)
    models = list(Parent.objects.visible_to(request.user))
    bred = open_origins((model.folder for model in models), request.user)
    rows = [(row, may_hide(request.user, row), row in chosen, bred.get(row.folder)) for row in models]
    context = {
        "parents": rows,
        "fit": fit_of(chosen) if chosen else None,
        "form": form if request.user.is_staff else None,
    }
    return render(request, "library/parents.html", context)


@require_POST
def parent_hide(request: SignedIn, parent_id: int) -> HttpResponse:
    return hide(request, get_object_or_404(Parent.objects.visible_to(request.user), pk=parent_id), "library:parents")


def _registered(user: User, form: ParentForm) -> Parent | None:
    """The parent; None when it was refused, and then the form says why."""
    chosen = form.cleaned_data
    try:
        return actions.register_parent(None if chosen["shared"] else user, Path(chosen["folder"]), chosen["name"])
    except (ParentError, OSError) as error:
        form.add_error("folder", str(error))
        return None


def _chosen(request: SignedIn) -> list[Parent]:
    """The models that the address names, as far as one may choose them."""
    numbers = [int(number) for number in request.GET.getlist("model") if NUMBER.fullmatch(number)]
    return list(Parent.objects.visible_to(request.user).filter(pk__in=numbers))
