"""The live page of a run, and the history behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, Subquery, Sum
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
from webapp.lineage.actions import model_a
from webapp.lineage.queries import around, open_origins
from webapp.runs.board import leaderboard
from webapp.runs.config import RunConfig
from webapp.runs.live import series
from webapp.runs.live.deep import Deep
from webapp.runs.live.improving import gauge
from webapp.runs.live.summary import Summary, summary
from webapp.runs.live.timeline import STAGES
from webapp.runs.models import Candidate, Event, Run
from webapp.runs.pictures import paths, slots, worth
from webapp.runs.pictures.layer_map import layer_map
from webapp.sharing.access import runs_of
from webapp.sharing.forms import ROLES, PlaceForm
from webapp.sharing.models import Share
from webapp.sharing.projects import with_projects


@never_cache
@require_safe
def detail(request: SignedIn, run_id: UUID) -> HttpResponse:
    """The page; `?part=live` answers with the parts that change, which the page puts in their places. `?rows=all` shows all ranked rows.

    Parts that seldom change are only announced there, and answered by their names, such as `?part=slots`. Two come only when the page is
    there already: the gauge, and what lies below it, of which `?view=` chooses one.
    """
    run, part = _visible(request, run_id), request.GET.get("part")
    deep = Deep.asked(request.GET)
    if part == "deep":
        context = {"run": run, "deep": deep, "deep_key": deep.key(run), "log": deep.log_of(run), "stages": STAGES}
        return render(request, "runs/_deep.html", context)
    config = RunConfig.from_json(run.config)
    found = summary(run, request.user)
    if part in ASKED:
        context = {"run": run, "summary": found, "row": found.row, "config": config}
        return render(request, f"runs/_{part}.html", context | ASKED[part](run, config, found))
    board = leaderboard.board(run, found.row.n_scored, everything=request.GET.get("rows") == "all")
    parts = board.parts.get(found.row.best.pk, ()) if found.row.best else ()
    context = {
        "run": run,
        "summary": found,
        "row": found.row,
        "board": board,
        "parts": parts,
        "n_left": run.budget - found.row.n_scored,
        "config": config,
        "deep": deep,
        "deep_key": deep.key(run),
    }
    if part == "live":
        announced = {"worth_key": worth.key(run, _best(found))} if config.path else {}
        return render(request, "runs/_live_parts.html", context | announced)
    for of_part in LATER.values():
        context |= of_part(run, config, found)
    context |= _settings(config) | _lineage(run, config, request.user) | _people(run, request.user)
    is_mine_alone = run.owner_id == request.user.pk and not found.has_ended
    is_first = is_mine_alone and not Run.objects.filter(owner=request.user).exclude(pk=run.pk).exists()
    return render(request, "runs/live.html", context | {"seq": run.next_seq - 1, "is_first": is_first})


@never_cache
@require_safe
def history(request: SignedIn, run_id: UUID) -> JsonResponse:
    """What the live chart lacks that knows events up to `?after=`; without it, everything."""
    run = get_object_or_404(runs_of(request.user), pk=run_id)
    return JsonResponse(series.catch_up(run.pk, series.position(request.GET.get("after", ""))))


def _pictures(run: Run, config: RunConfig, found: Summary) -> dict[str, Any]:
    """Of the best candidate so far: its route when it is a path, else its layer map."""
    best = _best(found)
    if best is None:
        return {}
    recipe = Recipe.from_json(best.recipe)
    return {"route": paths.route_of(recipe, config.parents), "map": layer_map(recipe)}


def _slots(run: Run, config: RunConfig, found: Summary) -> dict[str, Any]:
    return {"slots": slots.slot_map(run, config)} if config.path else {}


def _worth(run: Run, config: RunConfig, found: Summary) -> dict[str, Any]:
    best = _best(found)
    if config.path is None:
        return {}
    return {
        "worth_key": worth.key(run, best),
        "n_probes_waiting": worth.n_waiting(run),
        "wholes": worth.wholes(run, config, best),
    }


def _gauge(run: Run, config: RunConfig, found: Summary) -> dict[str, Any]:
    return {"gauge": gauge(run)}


LATER: Final[dict[str, Callable[[Run, RunConfig, Summary], dict[str, Any]]]] = {
    "best": _pictures,
    "slots": _slots,
    "worth": _worth,
}
"""Parts that seldom change, by the names of their templates; the last two are of a search for a path."""
ASKED: Final = LATER | {"gauge": _gauge}
"""All parts that are answered alone."""


def _best(found: Summary) -> Candidate | None:
    return found.row.best.candidate if found.row.best else None


def _settings(config: RunConfig) -> dict[str, Any]:
    return {
        "measured": list(zip(config.objectives, shares(config.weights), strict=True)),
        "fidelity": None if config.fidelity == FULL else fidelities.get(config.fidelity),
        "method": methods.get(config.method),
        "search": searches.get(config.search),
    }


def _lineage(run: Run, config: RunConfig, user: User) -> dict[str, Any]:
    """Where its parents come from, and the runs before and after it."""
    prequel, sequel = around(run, user)
    origins = open_origins((parent.folder for parent in config.parents), user)
    return {
        "parents": [(parent, origins.get(parent.folder)) for parent in config.parents],
        "prequel": prequel,
        "sequel": sequel,
        "model_a": model_a(run) if sequel else None,
    }


def _people(run: Run, user: User) -> dict[str, Any]:
    """For the owner whom it is shared with, for others how it is shared with them."""
    shares = run.shares.select_related("user")
    if run.owner_id == user.pk:
        placing = PlaceForm(user, initial={"project": cast(Any, run).project_id})
        return {"shares": shares if cast(Any, run).is_shared else (), "roles": ROLES, "place_form": placing}
    return {"share": shares.filter(user=user).first()}


def _visible(request: SignedIn, run_id: UUID) -> Run:
    """With what the page says of it in a word: whether it is shared, when its newest event was, and what its downloads take."""
    runs = with_projects(runs_of(request.user), request.user).select_related("winner", "owner")
    built = Candidate.objects.filter(run=OuterRef("pk"), exports__status="done").order_by().values("run")
    told = Event.objects.filter(run=OuterRef("pk")).order_by("-seq")
    annotated = runs.annotate(
        is_shared=Exists(Share.objects.filter(run=OuterRef("pk"))),
        downloads=Subquery(built.annotate(n=Sum("exports__n_bytes")).values("n")),
        newest=Subquery(told.values("created")[:1]),
    )
    return get_object_or_404(annotated, pk=run_id)
