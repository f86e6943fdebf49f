"""The runs list: home."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from webapp.accounts.requests import SignedIn
from webapp.runs import listing
from webapp.runs.models import LIVE
from webapp.sharing.access import runs_of

SHOWN = ("all", "live", "ended")


@require_safe
def runs(request: SignedIn) -> HttpResponse:
    """One's own runs and those shared with one, newest first; htmx gets the list alone. What is shown is in the address."""
    visible = runs_of(request.user)
    show, words = request.GET.get("show", "all"), request.GET.get("q", "").replace("\x00", "").strip()
    chosen = listing.filtered(visible, show, words).select_related("owner")
    page = Paginator(chosen, listing.PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "rows": listing.rows(list(page)),
        "page": page,
        "show": show,
        "shown": SHOWN,
        "words": words,
        "any_run": visible.exists(),
        "n_live": visible.filter(state__in=LIVE).count(),
    }
    return render(request, "runs/_list.html" if request.htmx else "runs/list.html", context)
