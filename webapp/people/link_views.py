"""Links to a run: its owner makes and revokes them, and whoever has one reads what the run came to."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from merging.recipes import Recipe
from webapp.accounts.requests import SignedIn
from webapp.people.links import make, run_of
from webapp.quotas import QuotaError
from webapp.runs import listing
from webapp.runs.board.field import field
from webapp.runs.config import RunConfig
from webapp.runs.pictures import paths
from webapp.runs.pictures.layer_map import layer_map
from webapp.sharing.access import owned_by, run_or_refusal

DAYS: Final = ((1, "a day"), (7, "7 days"), (30, "30 days"), (90, "90 days"))
N_LINES: Final = 20


class LinkForm(forms.Form):
    """How long a link is good."""

    days = forms.TypedChoiceField(label="It expires after", choices=DAYS, coerce=int, initial=7)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def links(request: SignedIn, run_id: UUID) -> HttpResponse:
    """The links to one's own run; posted, one more, which this answer alone shows."""
    run = run_or_refusal(owned_by, request.user, run_id)
    form = LinkForm(request.POST or None)
    context: dict[str, Any] = {"run": run, "form": form, "links": run.links.all()}
    if not form.is_valid():
        return render(request, "people/links.html", context)
    try:
        key = make(run, form.cleaned_data["days"])
    except QuotaError as error:
        form.add_error(None, f"{error}.")
        return render(request, "people/links.html", context)
    address = request.build_absolute_uri(reverse("people:shared", args=[key]))
    return render(request, "people/links.html", context | {"address": address}, status=HTTPStatus.CREATED)


@require_POST
def revoke(request: SignedIn, run_id: UUID, link_id: int) -> HttpResponse:
    """Whoever has it reads nothing with it from now on."""
    run = run_or_refusal(owned_by, request.user, run_id)
    get_object_or_404(run.links, pk=link_id).delete()
    messages.success(request, "The link is revoked.")
    return redirect("people:links", run.pk)


@login_not_required
@never_cache
@require_safe
def shared(request: HttpRequest, key: str) -> HttpResponse:
    """A run for whoever has the link: how far it is, how good its best is, and how that is made. No questions, no answers, no files."""
    run = run_of(key)
    if run is None:
        raise Http404
    config = RunConfig.from_json(run.config)
    [row] = listing.rows([run], with_curves=False)
    best = row.best.candidate if row.best else None
    recipe = Recipe.from_json(best.recipe) if best else None
    context = {
        "run": run,
        "config": config,
        "row": row,
        "best": best,
        "recipe": recipe,
        "map": layer_map(recipe) if recipe else None,
        "route": paths.route_of(recipe, config.parents) if recipe and recipe.path else None,
        "entries": field(run).entries[:N_LINES],
    }
    return render(request, "people/shared.html", context)
