"""Two candidates of a run beside each other: scores on the same questions, and where their recipes lead."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from merging.recipes import Recipe
from webapp.accounts.requests import SignedIn
from webapp.runs import layer_map, paths, standing, winners
from webapp.runs.config import RunConfig
from webapp.runs.models import REFERENCES, Candidate, Run
from webapp.sharing.access import runs_of

N_OFFERED: Final = 12
MAX_NUMERALS: Final = 18  # of a 64-bit number


@require_safe
def pair(request: SignedIn, run_id: UUID, candidate_id: int) -> HttpResponse:
    """A candidate beside that of `?with=`; without it, beside the first that is offered."""
    run = get_object_or_404(runs_of(request.user).select_related("winner"), pk=run_id)
    first = get_object_or_404(run.candidates.select_related("generation"), pk=candidate_id)
    offered, asked = others(run, first), request.GET.get("with", "")
    number = asked if asked.isascii() and asked.isdigit() and len(asked) <= MAX_NUMERALS else None
    rest = run.candidates.exclude(pk=first.pk)
    second = offered[0] if offered and not asked else get_object_or_404(rest, pk=number)
    context = {
        "run": run,
        "candidate": first,
        "other": second,
        "others": list(dict.fromkeys([*offered, second])),
        "standing": standing.standing(run, first, [second]),
        **_pictures(RunConfig.from_json(run.config), first, second),
    }
    return render(request, "runs/compare.html", context)


def others(run: Run, candidate: Candidate) -> list[Candidate]:
    """What a candidate is worth comparing with: the winner, the best, the parents and the baselines."""
    references = run.candidates.filter(kind__in=REFERENCES).order_by("index")
    found = [*([run.winner] if run.winner else []), *winners.best(run, N_OFFERED), *references]
    return [other for other in dict.fromkeys(found) if other != candidate]


def _pictures(config: RunConfig, first: Candidate, second: Candidate) -> dict[str, Any]:
    """Two routes with common columns, and the difference in a sentence; or the two layer maps."""
    recipes = Recipe.from_json(first.recipe), Recipe.from_json(second.recipe)
    if config.path and (beside := paths.side_by_side(*recipes, config.parents, (first.name, second.name))):
        *routes, difference = beside
        return {"routes": list(zip((first, second), routes, strict=True)), "difference": difference}
    return {
        "maps": [(side, layer_map.layer_map(recipe)) for side, recipe in zip((first, second), recipes, strict=True)]
    }
