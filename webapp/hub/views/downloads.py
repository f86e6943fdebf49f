"""Models that are being fetched: beginning, pausing, going on, taking back. A worker does it; pages only ask and show."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from webapp.accounts.requests import SignedIn
from webapp.hub import downloads as fetching
from webapp.hub.errors import HubError
from webapp.hub.models import Download
from webapp.hub.names import Wanted, wanted
from webapp.hub.packs import packs
from webapp.quotas import QuotaError


@never_cache
@require_safe
def downloads(request: SignedIn) -> HttpResponse:
    """One's own fetches as they stand; the part asks for itself again while one is under way."""
    return render(request, "hub/_downloads.html" if request.htmx else "hub/downloads.html", part_of(request.user))


@require_POST
def start(request: SignedIn) -> HttpResponse:
    """Ask for one model at a revision."""
    try:
        named = wanted(request.POST.get("repo", ""), request.POST.get("revision", ""))
    except HubError as error:
        messages.error(request, f"{error}.")
        return redirect("hub:find")
    return _begun(request, [named])


@require_POST
def pack(request: SignedIn, pack_name: str) -> HttpResponse:
    """Ask for all models of a pack that can be fetched."""
    if pack_name not in packs:
        raise Http404
    return _begun(request, [member.wanted for member in packs[pack_name].fetched])


@require_POST
def pause(request: SignedIn, download_id: int) -> HttpResponse:
    fetching.pause(_own(request, download_id))
    return redirect("hub:downloads")


@require_POST
def resume(request: SignedIn, download_id: int) -> HttpResponse:
    """Go on with what was paused, or try again what failed."""
    try:
        fetching.go_on(_own(request, download_id))
    except QuotaError as error:
        messages.error(request, f"{error}.")
    return redirect("hub:downloads")


@require_POST
def cancel(request: SignedIn, download_id: int) -> HttpResponse:
    """Take it off the list; what has not become a model is removed."""
    fetching.cancel(_own(request, download_id))
    return redirect("hub:downloads")


def part_of(user: User) -> dict[str, Any]:
    """What templates/hub/_downloads.html shows."""
    rows = list(Download.objects.filter(owner=user).select_related("parent").defer("parent__inventory"))
    return {"downloads": rows, "is_live": any(row.is_under_way for row in rows)}


def _begun(request: SignedIn, models: list[Wanted]) -> HttpResponse:
    try:
        for named in models:
            fetching.request_download(request.user, named)
    except QuotaError as error:
        messages.error(request, f"{error}.")
    return redirect("hub:downloads")


def _own(request: SignedIn, download_id: int) -> Download:
    return get_object_or_404(Download, pk=download_id, owner=request.user)
