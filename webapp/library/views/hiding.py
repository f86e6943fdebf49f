"""Taking rows off the lists, the same for models and benchmarks."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import Http404, HttpResponse
from django.shortcuts import redirect

from webapp.accounts.requests import SignedIn
from webapp.library import actions
from webapp.library.models import Benchmark, Parent


def may_hide(user: User, row: Parent | Benchmark) -> bool:
    """One's own rows; for staff also what everybody may choose, but not what came with Progeny."""
    came_along = isinstance(row, Benchmark) or row.name.startswith("demo/")
    return row.owner_id == user.pk or (user.is_staff and row.owner_id is None and not came_along)


def hide(request: SignedIn, row: Parent | Benchmark, back: str) -> HttpResponse:
    """Off the list, if one may; then back to it."""
    if not may_hide(request.user, row):
        raise Http404(f"{row.name} is not yours")
    actions.hide(row)
    messages.success(request, f"{row.name} is off the list.")
    return redirect(back)
