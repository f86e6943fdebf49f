"""The live page of a run, and the history behind it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from merging.fidelity import DEFAULT as FULL
from merging.fidelity import fidelities
from merging.methods import methods
from merging.objectives import shares
from merging.recipes import Recipe
from merging.search import searches
from webapp.accounts.requests import SignedIn
from webapp.runs import leaderboard, paths, series, slots
from webapp.runs.config import RunConfig
from webapp.runs.layer_map import layer_map
from webapp.runs.listing import runs_of
from webapp.runs.models import Run
from webapp.runs.summary import Summary, summary


@never_cache
@require_safe
def detail(request: SignedIn, run_id: UUID) -> HttpResponse:
    """The page; `?part=live` answers with the parts that change, which the page puts in their places. `?rows=all` shows all ranked rows.

    Parts that seldom change are only announced there, and answered by their names: `?part=slots`.
    """
    run, part = _own(request, run_id), request.GET.get("part")
    config = RunConfig.from_json(run.config)
    found = summary(run)
    if part == "slots":
        return render(request, "runs/_slots.html", {"summary": found, "slots": slots.slot_map(run, config)})
    board = leaderboard.board(run, found.row.n_scored, everything=request.GET.get("rows") == "all")
    parts = board.parts.get(found.row.best.pk, ()) if found.row.best else ()
    context = {
        "run": run,
        "summary": found,
        "row": found.row,
        "board": board,
        "parts": parts,
        "config": config,
        **_pictures(config, found),
    }
    if part == "live":
        return render(request, "runs/_live_parts.html", context)
    context |= {**_settings(config), "slots": slots.slot_map(run, config), "seq": run.next_seq - 1}
    return render(request, "runs/live.html", context)


@never_cache
@require_safe
def history(request: SignedIn, run_id: UUID) -> JsonResponse:
    """What the live chart lacks that knows events up to `?after=`; without it, everything."""
    run = _own(request, run_id)
    return JsonResponse(series.catch_up(run.pk, series.position(request.GET.get("after", ""))))


def _pictures(config: RunConfig, found: Summary) -> dict[str, Any]:
    """Of the best candidate so far: its route when it is a path, else its layer map."""
    if found.row.best is None:
        return {}
    recipe = Recipe.from_json(found.row.best.candidate.recipe)
    return {"route": paths.route_of(recipe, config.parents), "map": layer_map(recipe)}


def _settings(config: RunConfig) -> dict[str, Any]:
    return {
        "measured": list(zip(config.objectives, shares(config.weights), strict=True)),
        "fidelity": None if config.fidelity == FULL else fidelities.get(config.fidelity),
        "method": methods.get(config.method),
        "search": searches.get(config.search),
    }


def _own(request: SignedIn, run_id: UUID) -> Run:
    return get_object_or_404(runs_of(request.user).select_related("winner", "owner", "baseline_of"), pk=run_id)
