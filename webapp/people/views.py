"""The trail, and what has happened since one looked."""

from __future__ import annotations

from typing import Final

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from webapp.accounts.requests import SignedIn
from webapp.addresses import number
from webapp.people.models import Act
from webapp.people.notices import look, notices

PER_PAGE: Final = 50


@never_cache
@require_safe
def trail(request: SignedIn) -> HttpResponse:
    """Who did what to which object: for who looks after the server everything, for others what they did and what is theirs.

    `?before=` is where older pages begin, `?who=` somebody alone.
    """
    who = request.GET.get("who", "").replace("\0", "").strip()[:150]
    acts = visible_to(request.user)
    if who:
        acts = acts.filter(who=who)
    if before := number(request.GET.get("before", "")):
        acts = acts.filter(pk__lt=before)
    found = list(acts[: PER_PAGE + 1])
    context = {
        "acts": found[:PER_PAGE],
        "who": who,
        "older": found[PER_PAGE - 1].pk if len(found) > PER_PAGE else None,
        "is_first": not before,
    }
    return render(request, "people/trail.html", context)


@never_cache
@require_safe
def notes(request: SignedIn) -> HttpResponse:
    """One's notices; htmx gets the bell with how many are new."""
    found = notices(request.user)
    n_notices = sum(one.is_new for one in found)
    return render(
        request,
        "people/_bell.html" if request.htmx else "people/notices.html",
        {"notices": found, "n_notices": n_notices},
    )


@require_POST
def seen(request: SignedIn) -> HttpResponse:
    """Nothing of what there is now is new any more."""
    look(request.user)
    return redirect("people:notices")


def visible_to(user: User) -> QuerySet[Act]:
    """The acts that this person may know of. Whose an object is decides whether its name may be read, too: see the template."""
    return Act.objects.all() if user.is_staff else Act.objects.filter(Q(user=user.pk) | Q(owner=user.pk))
