"""Removing the files of a model that was fetched: what would go and what that means, then the removal."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from merging.words import size
from webapp.accounts.requests import SignedIn
from webapp.hub import removals
from webapp.library.models import Parent


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def remove(request: SignedIn, parent_id: int) -> HttpResponse:
    """What would go; posted, it goes, unless something needs it."""
    parent = get_object_or_404(Parent.objects.visible_to(request.user), pk=parent_id)
    removal = removals.removal_of(parent, request.user)
    if removal is None:
        raise Http404(f"{parent.name} was not fetched by this person, or is not here")
    if request.method != "POST":
        context = {"removal": removal, "parent": parent, "runs": removal.past_runs(), "whys": removal.whys_not}
        return render(request, "hub/remove.html", context)
    n_bytes = removal.n_bytes
    if whys := removals.remove(removal):
        messages.error(request, f"Nothing was removed. {' '.join(whys)}")
        return redirect("hub:remove", parent.pk)
    messages.success(request, f"The files of {parent.name} are removed, {size(n_bytes)} free again.")
    return redirect("library:parent", parent.pk)
