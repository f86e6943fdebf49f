"""The runs list: home."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from webapp.accounts.requests import SignedIn
from webapp.runs import listing
from webapp.sharing.access import runs_of


@require_safe
def runs(request: SignedIn) -> HttpResponse:
    """One's own runs and those shared with one, newest first; htmx gets the list alone. What is shown is in the address."""
    visible = runs_of(request.user)
    show, of = request.GET.get("show", "all"), request.GET.get("of", "all")
    words = request.GET.get("q", "").replace("\x00", "").strip()
    by_state, by_owner = listing.facets(visible)
    chosen = listing.filtered(visible, show, of, words).select_related("owner")
    page = Paginator(chosen, listing.PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "rows": listing.rows(list(page)),
        "page": page,
        "show": show if show in listing.SHOWN else "all",
        "of": of if of in listing.OWNERS else "all",
        "words": words,
        "by_state": by_state,
        "by_owner": by_owner,
        "any_run": by_state[0].n > 0,
        "n_live": by_state[1].n,
    }
    return render(request, "runs/_list.html" if request.htmx else "runs/list.html", context)
