"""The leaderboard of a benchmark over all runs."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from webapp.accounts.requests import SignedIn
from webapp.addresses import one_of
from webapp.runs.board.standings import ASKED, grounds, standings


@never_cache
@require_safe
def across_runs(request: SignedIn) -> HttpResponse:
    """The benchmark of `?benchmark=`, a digest, on the split of `?split=`; without them that of most runs, on the final split."""
    known = grounds(request.user)
    asked = request.GET.get("benchmark", "")
    ground = next((one for one in known if one.digest == asked), None if asked else next(iter(known), None))
    split = one_of(list(ASKED), request.GET.get("split"))
    context = {
        "grounds": known,
        "ground": ground,
        "split": split,
        "splits": list(ASKED),
        "found": standings(request.user, ground.digest, split) if ground else None,
    }
    return render(request, "runs/standings.html", context)
