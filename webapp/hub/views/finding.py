"""Looking for a model on the Hub."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from webapp.accounts.models import HubToken
from webapp.accounts.requests import SignedIn
from webapp.hub.client import Asking
from webapp.hub.errors import HubError
from webapp.hub.names import pasted
from webapp.hub.packs import packs
from webapp.hub.places import cached, common_cache
from webapp.hub.searching import LICENCES, SIZES, SORTS, Asked, search
from webapp.hub.views.downloads import part_of
from webapp.library.models import Parent


@require_safe
def find(request: SignedIn) -> HttpResponse:
    """The page with what is looked for; what is found is a part that comes later. The address of a model leads to its page."""
    asked = Asked.read(request.GET, request.user)
    try:
        if named := pasted(asked.q):
            return redirect(named.page)
    except HubError as error:
        messages.error(request, str(error))
    context = {
        "asked": asked,
        "query": request.GET.urlencode(),
        "sizes": {name: words for name, (words, _) in SIZES.items()},
        "sorts": SORTS,
        "licences": LICENCES,
        "parents": Parent.objects.visible_to(request.user).only("name", "model_type"),
        "packs": packs.values(),
        "is_offline": settings.OFFLINE,
        "cache_folder": common_cache(),
        "has_token": HubToken.objects.filter(owner=request.user).exists(),
        "cached": list(cached(common_cache())) if request.user.is_staff else [],
        **part_of(request.user),
    }
    return render(request, "hub/find.html", context)


@require_safe
def results(request: SignedIn) -> HttpResponse:
    """What the Hub finds, or why nothing is known."""
    asked = Asked.read(request.GET, request.user)
    context: dict[str, object] = {"query": request.GET.urlencode(), "cache_folder": common_cache()}
    try:
        context["found"] = search(Asking.of(request.user), asked, request.user)
    except HubError as error:
        context["error"] = error
    return render(request, "hub/_results.html", context)
