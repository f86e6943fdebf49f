"""The runs list: home."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import render

from webapp.accounts.requests import SignedIn
from webapp.runs import listing
from webapp.runs.models import LIVE

SHOWN = ("all", "live", "ended")


def runs(request: SignedIn) -> HttpResponse:
    """One's own runs, newest first; htmx gets the list alone. What is shown is in the address."""
    mine = listing.runs_of(request.user)
    show, words = request.GET.get("show", "all"), request.GET.get("q", "").strip()
    page = Paginator(listing.filtered(mine, show, words), listing.PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "rows": listing.rows(list(page)),
        "page": page,
        "show": show,
        "shown": SHOWN,
        "words": words,
        "any_run": mine.exists(),
        "n_live": mine.filter(state__in=LIVE).count(),
    }
    return render(request, "runs/_list.html" if request.htmx else "runs/list.html", context)
