"""The pages of the models that one may choose: the list with the fit of those ticked, and one of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from merging.errors import ParentError
from webapp.accounts.requests import SignedIn
from webapp.hub.models import Source
from webapp.hub.removals import removal_of
from webapp.library import actions, profiles
from webapp.library.fit import MOST, Matrix, Pair, fit_of, matrix_of, pairs_of
from webapp.library.forms import ParentForm
from webapp.library.licences import licence_of_model
from webapp.library.listing import SORTS, Asked, kinds_of
from webapp.library.models import Parent
from webapp.library.views.hiding import hide, may_hide
from webapp.lineage.queries import open_origins
from webapp.trials.forms import TrialForm

N_COMPARED: Final = 20
"""Other models whose fit is shown at once: each folder's headers and tokenizer are read."""
PAIR: Final = re.compile(r"[0-9]{1,9}-[0-9]{1,9}")


@require_http_methods(["GET", "HEAD", "POST"])
def parents(request: SignedIn) -> HttpResponse:
    """The models that one may choose, and whether those ticked fit; staff may post a folder to register."""
    if request.method == "POST" and not request.user.is_staff:
        raise PermissionDenied("On this server only staff registers folders: ask somebody who looks after it.")
    form = ParentForm(request.POST or None)
    if form.is_valid() and (parent := _registered(request.user, form)):
        messages.success(request, f"{parent.name} can be chosen now.")
        return redirect("library:parents")
    asked = Asked.read(request.GET)
    page = asked.models(request.user)
    context = {"asked": asked, "page": page, "rows": _rows(request.user, page, asked), "sorts": SORTS}
    turns = {"previous": page.number - 1, "next": page.number + 1}
    context |= {name: asked.address(page=number) for name, number in turns.items()}
    context |= {"kinds": kinds_of(request.user), "form": form if request.user.is_staff else None}
    context["removed"] = Parent.objects.known_to(request.user).filter(removed_at__isnull=False)
    return render(request, "library/parents.html", context | _fit(request, asked, {row.pk for row in page}))


@require_safe
def parent(request: SignedIn, parent_id: int) -> HttpResponse:
    """One model. Its fit with the others is read when it is asked for: `fit` is the page of that list."""
    row = get_object_or_404(Parent.objects.known_to(request.user).defer(None), pk=parent_id)
    fits = _fits(request, row) if "fit" in request.GET and not row.removed_at else {}
    if request.htmx and fits:
        return render(request, "library/_fits.html", fits | {"parent": row})
    files = profiles.files_of(row)
    runs = profiles.runs_with(row, request.user)
    context: dict[str, Any] = {
        "parent": row,
        "may_hide": may_hide(request.user, row),
        "files": files,
        "prompting": None if row.removed_at else profiles.prompting_of(row, files),
        "licence": licence_of_model(row),
        "ancestors": profiles.ancestors_of(row, request.user),
        "origin": open_origins([row.folder], request.user).get(row.folder),
        "source": Source.objects.filter(parent=row).first(),
        "removal": removal_of(row, request.user),
        "twins": profiles.twins_of(row, request.user),
        "baselines": profiles.baselines_of(row, request.user),
        "n_runs": runs.count(),
        "runs": runs.only("name", "state")[: profiles.N_RUNS],
        "has_others": Parent.objects.visible_to(request.user).exclude(pk=row.pk).exists(),
        "trial_form": TrialForm(request.user),
    }
    return render(request, "library/parent.html", context | fits)


@require_POST
def parent_hide(request: SignedIn, parent_id: int) -> HttpResponse:
    return hide(request, get_object_or_404(Parent.objects.known_to(request.user), pk=parent_id), "library:parents")


def _registered(user: User, form: ParentForm) -> Parent | None:
    """The parent; None when it was refused, and then the form says why."""
    chosen = form.cleaned_data
    try:
        return actions.register_parent(None if chosen["shared"] else user, Path(chosen["folder"]), chosen["name"])
    except (ParentError, OSError) as error:
        form.add_error("folder", str(error))
        return None


def _rows(user: User, page: Any, asked: Asked) -> list[tuple[Any, ...]]:
    bred = open_origins((model.folder for model in page), user)
    used = profiles.n_runs_by_fingerprint(user)
    return [
        (row, row.pk in asked.chosen, bred.get(row.folder), licence_of_model(row), used[row.fingerprint])
        for row in page
    ]


def _fit(request: SignedIn, asked: Asked, shown: set[int]) -> dict[str, Any]:
    """The verdict on the models that the address names, as far as one may choose them, and the pair that is looked at."""
    chosen = list(Parent.objects.visible_to(request.user).filter(pk__in=asked.chosen))
    if not chosen:
        return {"chosen": []}
    seen = chosen[:MOST]
    matrix = matrix_of(seen) if len(seen) > 1 else None
    return {
        "chosen": chosen,
        "elsewhere": [row for row in chosen if row.pk not in shown],
        "fit": matrix.together if matrix else fit_of(seen),
        "n_left_out": len(chosen) - len(seen),
        "matrix": matrix,
        "pair": _pair(request, matrix),
    }


def _pair(request: SignedIn, matrix: Matrix | None) -> Pair | None:
    asked = request.GET.get("pair", "")
    return matrix.pairs.get(asked) if matrix and PAIR.fullmatch(asked) else None


def _fits(request: SignedIn, row: Parent) -> dict[str, Any]:
    page = Paginator(profiles.others_by_likeness(row, request.user), N_COMPARED).get_page(request.GET["fit"])
    return {"fits": pairs_of(row, list(page)), "fits_page": page}
