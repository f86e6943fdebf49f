"""What came with Progeny, put where people choose from, on a server where it is not."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from webapp.accounts.requests import SignedIn
from webapp.library import actions


@require_POST
def starters(request: SignedIn) -> HttpResponse:
    """The bundled models and benchmarks, for everybody; then back to where it was asked for."""
    if not request.user.is_staff:
        raise PermissionDenied("They are for everybody on this server: ask somebody who looks after it.")
    actions.install_demo_pack()
    messages.success(request, "The small models and the starter sets can be chosen now.")
    return redirect("library:parents" if request.POST.get("back") == "models" else "library:benchmarks")
