"""One model of the Hub before it is fetched. The page is there at once; what the Hub says comes as two parts of it."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from webapp.accounts.requests import SignedIn
from webapp.hub import looks
from webapp.hub.client import Asking
from webapp.hub.downloads import place_of
from webapp.hub.errors import HubError
from webapp.hub.models import Download, Source
from webapp.hub.names import Wanted, wanted
from webapp.hub.places import room
from webapp.hub.previews import fit_with
from webapp.leases import UNDER_WAY
from webapp.library.licences import licence_of
from webapp.library.listing import NUMBER
from webapp.library.models import Parent

N_FITS: Final = 8
"""Models here beside which it is shown at once."""


@require_safe
def model(request: SignedIn, author: str, name: str) -> HttpResponse:
    """What is known of it here, and the place for what the Hub says."""
    named = _wanted(request, author, name)
    mine = Parent.objects.visible_to(request.user)
    context = {
        "wanted": named,
        "query": request.GET.urlencode(),
        "sources": Source.objects.filter(repo=named.repo, parent__in=mine)
        .select_related("parent")
        .defer("parent__inventory"),
        "downloads": Download.objects.filter(
            owner=request.user, repo=named.repo, status__in=(*UNDER_WAY, "dropped", "failed")
        ),
    }
    return render(request, "hub/model.html", context)


@require_safe
def look(request: SignedIn, author: str, name: str) -> HttpResponse:
    """What the Hub says: files, bytes, terms, access; and whether there is room for it."""
    named = _wanted(request, author, name)
    context: dict[str, Any] = {"wanted": named, "query": request.GET.urlencode()}
    try:
        found = looks.look(Asking.of(request.user), named)
    except HubError as error:
        return render(request, "hub/_look.html", context | {"error": error})
    place = place_of(request.user, found)
    n_here = found.n_here(place)
    free = room(place.cache)
    context |= {
        "look": found,
        "terms": licence_of(found.licence),
        "n_here": n_here,
        "n_to_come": found.n_bytes - n_here,
        "free": free,
        "has_room": found.n_bytes - n_here < free,
        "parents": _first_ones(request),
    }
    return render(request, "hub/_look.html", context)


@require_safe
def fit(request: SignedIn, author: str, name: str) -> HttpResponse:
    """Whether it fits models here, found out from its metadata: `with` names one, otherwise the first few are asked."""
    named = _wanted(request, author, name)
    chosen = request.GET.get("with", "")
    parents = _first_ones(request)
    if NUMBER.fullmatch(chosen):
        parents = Parent.objects.visible_to(request.user).filter(pk=int(chosen))
    try:
        asking = Asking.of(request.user)
        fits = fit_with(request.user, asking, looks.look(asking, named), list(parents))
    except HubError as error:
        return render(request, "hub/_fit.html", {"error": error})
    return render(request, "hub/_fit.html", {"fits": fits})


def _wanted(request: SignedIn, author: str, name: str) -> Wanted:
    try:
        return wanted(f"{author}/{name}", request.GET.get("revision", ""))
    except HubError as error:
        raise Http404(str(error)) from error


def _first_ones(request: SignedIn) -> QuerySet[Parent]:
    """The newest of the models that this person may choose."""
    return Parent.objects.visible_to(request.user).order_by("-pk")[:N_FITS]
