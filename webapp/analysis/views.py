"""Candidates and runs beside each other, and the genes of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from webapp.accounts.requests import SignedIn
from webapp.addresses import number, one_of
from webapp.analysis import differences, dumbbells, genes, histories, questions
from webapp.analysis.chosen import MOST, Chosen, Side, address_of, chosen
from webapp.analysis.scores import Table, table
from webapp.analysis.suggestions import other_runs, suggestions
from webapp.library.actions import key_of
from webapp.runs import listing
from webapp.runs.models import ENDED, Run, SplitName
from webapp.runs.pictures import layer_map, paths
from webapp.runs.views.compare import others
from webapp.sharing.access import runs_of

PER_PAGE: Final = 20


@never_cache
@require_safe
def compare(request: SignedIn) -> HttpResponse:
    """The candidates of `?c=` and the runs of `?run=` beside each other; without any, what is worth comparing."""
    found = _asked(request)
    context: dict[str, Any] = {"chosen": found, "most": MOST, "here": urlencode(address_of(found.sides, found.runs))}
    if found.sides:
        context |= _candidates(request, found)
    if found.runs:
        context |= _runs(request, found)
    if len(found.sides) < 2 and len(found.runs) < 2:
        context["suggestions"] = suggestions(request.user)
    return render(request, "analysis/compare.html", context)


@never_cache
@require_safe
def histories_data(request: SignedIn) -> JsonResponse:
    """The histories of the runs of `?run=`, over `?over=`."""
    return JsonResponse(histories.histories(_asked(request).runs, _over(request)))


@never_cache
@require_safe
def genes_page(request: SignedIn, run_id: UUID) -> HttpResponse:
    """What the genes of a run have to do with its scores: `?x=` and `?y=` are the genes that are looked at, `?gene=` those of the lines."""
    run = get_object_or_404(runs_of(request.user), pk=run_id)
    found = genes.genes_of(run)
    context = {
        "run": run,
        "genes": found,
        "n_scored": genes.n_scored(run),
        "x": _gene(request, "x"),
        "y": _gene(request, "y"),
        "lines": _lines(request),
        "query": request.GET.urlencode(),
    }
    return render(request, "analysis/genes.html", context)


@never_cache
@require_safe
def genes_data(request: SignedIn, run_id: UUID) -> JsonResponse:
    """The numbers of one chart, `?plot=`, of the genes that the page was asked for."""
    run = get_object_or_404(runs_of(request.user), pk=run_id)
    plot = PLOTS.get(request.GET.get("plot", ""), PLOTS["bars"])
    return JsonResponse(plot(run, request))


PLOTS: Final[dict[str, Callable[[Run, HttpRequest], genes.Json]]] = {
    "bars": lambda run, request: genes.bars(run),
    "scatter": lambda run, request: genes.scatter(run, _gene(request, "x")),
    "contour": lambda run, request: genes.contour(run, (_gene(request, "x"), _gene(request, "y"))),
    "parallel": lambda run, request: genes.parallel(run, _lines(request)),
}


def _asked(request: SignedIn) -> Chosen:
    return chosen(request.user, request.GET.getlist("c"), request.GET.getlist("run"))


def _gene(request: HttpRequest, name: str) -> int | None:
    return number(request.GET.get(name, ""))


def _lines(request: HttpRequest) -> list[int]:
    """The genes of the lines."""
    return [gene for word in request.GET.getlist("gene") if (gene := number(word)) is not None]


def _over(request: SignedIn) -> histories.Over:
    return one_of(histories.OVERS, request.GET.get("over"))


@dataclass(frozen=True)
class Chip:
    """One of those that are compared, with the words of the address without it, and with it as the first."""

    side: Side
    without: str
    as_first: str


def _candidates(request: SignedIn, found: Chosen) -> dict[str, Any]:
    sides = found.sides
    compared = table(sides)
    offered = [one for one in others(sides[0].run, sides[0].candidate) if one not in [side.candidate for side in sides]]
    context = {
        "chips": _chips(found),
        "offered": offered if len(sides) < MOST else [],
        "is_of_several_runs": len({side.run.pk for side in sides}) > 1,
        "table": compared,
    }
    if len(sides) < 2:
        return context
    context |= _pictures(sides) | {"gene_differences": differences.genes(sides)}
    if splits := compared.splits:
        context |= _on_a_split(request, compared, one_of(splits, request.GET.get("split")))
    return context


def _chips(found: Chosen) -> list[Chip]:
    made = []
    for side in found.sides:
        rest = [other for other in found.sides if other is not side]
        without, as_first = (urlencode(address_of(order, found.runs)) for order in (rest, [side, *rest]))
        made.append(Chip(side, without, as_first))
    return made


def _pictures(sides: Sequence[Side]) -> dict[str, Any]:
    """Routes for paths, of two with common columns and their difference in a sentence; layer maps for merges of tensors."""
    if len(sides) == 2 and any(side.config.path for side in sides):
        models = list(dict.fromkeys(parent for side in sides for parent in side.config.parents))
        names = sides[0].name, sides[1].name
        if beside := paths.side_by_side(sides[0].recipe, sides[1].recipe, models, names):
            *routes, difference = beside
            return {"routes": list(zip(sides, routes, strict=True)), "difference": difference}
    drawn = [(side, paths.route_of(side.recipe, side.config.parents)) for side in sides if side.config.path]
    maps = [(side, layer_map.layer_map(side.recipe)) for side in sides if not side.recipe.path]
    return {
        "routes": [(side, route) for side, route in drawn if route],
        "maps": [(side, picture) for side, picture in maps if picture],
    }


def _on_a_split(request: SignedIn, compared: Table, split: SplitName) -> dict[str, Any]:
    """The picture of scores, who agrees with whom, and the answers, on the chosen split and benchmark."""
    names = compared.benchmarks(split)
    digests = list(names)
    place = number(request.GET.get("benchmark", "")) or 0
    digest = digests[place] if place < len(digests) else digests[0]
    parts = [
        (line.side, cell.parts[digest])
        for line in compared.lines
        if (cell := line.cell(split)) and cell.is_done and digest in cell.parts
    ]
    agreement = questions.agreement(parts)
    context = {
        "split": split,
        "benchmarks": list(enumerate(names.values())),
        "benchmark": digests.index(digest),
        "picture": dumbbells.picture(compared, split),
        "agreement": agreement,
        "is_closed": split == "final" and any(side.run.state not in ENDED for side, _ in parts),
    }
    if agreement is None or context["is_closed"]:
        return context
    side, part = parts[0]
    spec = side.config.objectives[part.score.index].spec
    browser = questions.browser(parts, spec, split, key_of(spec) if split == "final" else None)
    show = one_of(questions.SHOWN, request.GET.get("show"))
    shown = [question for question in browser.questions if question.is_in(show)]
    return context | {
        "browser": browser,
        "show": show,
        "filters": [(name, browser.count(name)) for name in questions.SHOWN],
        "page": Paginator(shown, PER_PAGE).get_page(request.GET.get("page")),
    }


def _runs(request: SignedIn, found: Chosen) -> dict[str, Any]:
    rows = listing.rows(found.runs, with_curves=False)
    best = [("c", row.best.candidate_id) for row in rows if row.best]
    return {
        "rows": [
            (row, urlencode(address_of(found.sides, [run for run in found.runs if run != row.run]))) for row in rows
        ],
        "over": _over(request),
        "overs": histories.OVERS,
        "histories_query": urlencode([*address_of([], found.runs), ("over", _over(request))]),
        "settings": differences.settings(found.runs) if len(found.runs) > 1 else [],
        "best_query": urlencode(best) if len(best) > 1 else "",
        "other_runs": other_runs(request.user, found.runs) if len(found.runs) < MOST else [],
    }
