"""The whole leaderboard of a run: filtered, sorted, in pages, and as files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Final
from uuid import UUID

from django.core.paginator import Paginator
from django.http import HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.http import content_disposition_header
from django.utils.text import slugify
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from webapp.accounts.requests import SignedIn
from webapp.marks import queries as marks
from webapp.runs.board import files as board_files
from webapp.runs.board import leaderboard
from webapp.runs.board import lines as board_lines
from webapp.runs.board.field import Field, field, front
from webapp.runs.board.query import COLUMNS, KINDS, PART, UPWARDS, USUAL, BoardQuery, sorts
from webapp.runs.config import RunConfig
from webapp.runs.models import ENDED, Run
from webapp.sharing.access import runs_of

PER_PAGE: Final = 30
PLOT_NOTE: Final = "The front in the table counts all benchmarks."
KIND_WORDS: Final = {"evolved": "Candidates", "parent": "Parents", "baseline": "Baselines"}


@never_cache
@require_safe
def detail(request: SignedIn, run_id: UUID) -> HttpResponse:
    """The page; `?part=board` answers with its table alone, `?part=front` with all candidates by two benchmarks, as a picture's numbers.
    What else the address may ask is in `board_query`.
    """
    run = _visible(request, run_id)
    config, found = RunConfig.from_json(run.config), field(run)
    if request.GET.get("part") == "front":
        return JsonResponse(_front(config, found))
    usual = _usual(config)
    query = BoardQuery.of(request.GET, len(leaderboard.columns(config)), usual)
    marked = marks.of_run(run, request.user)
    chosen = query.chosen(found.entries, marked)
    page = Paginator(chosen, PER_PAGE).get_page(query.page)
    board = leaderboard.board(run, found.n_scored, everything=True)
    sources = board_lines.Sources(run, config, found, board, marked)
    context = {
        "run": run,
        "has_ended": run.state in ENDED,
        "config": config,
        "board": board,
        "field": found,
        "query": query,
        "page": page,
        "lines": board_lines.lines(sources, list(page.object_list), in_order=query.sort == "rank"),
        "shown": dict.fromkeys(query.columns, True),
        "headings": _headings(query, config, usual),
        "pages": query.address(usual),
        "cleared": BoardQuery(view=query.view, sort=query.sort, columns=query.columns).address(usual),
        "current": run.candidates.filter(evaluations__split="search", evaluations__status="leased").defer(
            "recipe", "genome"
        ),
        "n_unranked": sum(entry.place == 0 for entry in chosen),
        "seq": run.next_seq - 1,
    }
    if request.GET.get("part") == "board":
        return render(request, "runs/_board_table.html", context)
    context |= _filters(query, config, found, usual) | {"tags": marks.tags_in(marked.values())}
    context |= {"n_failed": run.evaluations.filter(split="search", status="failed").count()}
    return render(request, "runs/leaderboard.html", context)


@never_cache
@require_safe
def as_csv(request: SignedIn, run_id: UUID) -> HttpResponseBase:
    """All rows that pass the filters, as a table."""
    run, sheet, _ = _sheet(request, run_id)
    return _file(request, run, "csv", "text/csv; charset=utf-8", lambda: board_files.as_csv(sheet))


@never_cache
@require_safe
def as_json(request: SignedIn, run_id: UUID) -> HttpResponseBase:
    """All rows that pass the filters, for programs."""
    run, sheet, query = _sheet(request, run_id)
    about = {"run": run.name, "run_id": str(run.pk), "state": run.state, "filter": query.address()}
    return _file(request, run, "json", "application/json", lambda: board_files.as_json(sheet, about))


def _visible(request: SignedIn, run_id: UUID) -> Run:
    return get_object_or_404(runs_of(request.user).select_related("owner"), pk=run_id)


def _sheet(request: SignedIn, run_id: UUID) -> tuple[Run, board_files.Sheet, BoardQuery]:
    run = _visible(request, run_id)
    config, found = RunConfig.from_json(run.config), field(run)
    columns = leaderboard.columns(config)
    query = BoardQuery.of(request.GET, len(columns), _usual(config))
    marked = marks.of_run(run, request.user)
    tested = leaderboard.board(run, found.n_scored, everything=True).rows
    ranks = {row.candidate.pk: row.rank for row in tested}
    names = [column.name for column in columns]
    return run, board_files.Sheet(query.chosen(found.entries, marked), ranks, marked, names), query


def _file(
    request: SignedIn, run: Run, ending: str, content_type: str, pieces: Callable[[], AsyncIterator[str]]
) -> HttpResponseBase:
    name = f"{slugify(run.name) or run.pk}-leaderboard.{ending}"
    headers = {"Content-Disposition": content_disposition_header(as_attachment=True, filename=name) or "attachment"}
    if request.method == "HEAD":
        return HttpResponse(content_type=content_type, headers=headers)
    return StreamingHttpResponse(pieces(), content_type=content_type, headers=headers)


def _usual(config: RunConfig) -> tuple[str, ...]:
    """The columns of a run without a choice: models of one size need no word of it, and several benchmarks need room."""
    usual = tuple(column for column in USUAL if column != "age") if leaderboard.columns(config) else USUAL
    return (*usual, "size") if config.path else usual


def _front(config: RunConfig, found: Field) -> dict[str, Any]:
    """Where everybody with a place stands on the first two benchmarks, and the line of those that nobody dominates on these."""
    entries = [entry for entry in found.entries if entry.place and len(entry.parts) > 1]
    if not entries:
        return {"nothing": "Nothing is scored on two benchmarks yet."}
    points = [(100 * entry.parts[0], 100 * entry.parts[1]) for entry in entries]
    first, second = (column.name for column in leaderboard.columns(config)[:2])
    return {
        "x": {"title": f"{first}, %", "low": None, "high": None},
        "y": {"title": f"{second}, %", "in_percent": True},
        "points": points,
        "curve": sorted(front(points)),
        "ids": [entry.pk for entry in entries],
        "names": [entry.name for entry in entries],
        "note": f"The line joins those that nobody beats on both. {PLOT_NOTE if len(config.objectives) > 2 else ''}".strip(),
    }


def _headings(query: BoardQuery, config: RunConfig, usual: tuple[str, ...]) -> dict[str, Any]:
    """By column: the address that sorts by it, the other way round when it does already, and what `aria-sort` says."""

    def heading(sort: str) -> dict[str, str]:
        is_here = query.sort.removeprefix("-") == sort
        asked = f"-{sort}" if query.sort == sort else sort
        is_upwards = (sort in UPWARDS) != query.is_descending
        state = ("ascending" if is_upwards else "descending") if is_here else ""
        return {"address": query.address(usual, sort=asked), "state": state}

    columns = enumerate(leaderboard.columns(config))
    return {
        **{sort: heading(sort) for sort in sorts(0)},
        "parts": [{"name": column.name, "share": column.share, **heading(f"{PART}{i}")} for i, column in columns],
    }


def _filters(query: BoardQuery, config: RunConfig, found: Field, usual: tuple[str, ...]) -> dict[str, Any]:
    """What the form offers, and where its links lead."""
    parts = leaderboard.columns(config)
    words = sorts(0) | {f"{PART}{i}": part.name for i, part in enumerate(parts)}
    generations = [entry.generation for entry in found.entries if entry.generation is not None]
    columns = {name: label for name, label in COLUMNS.items() if name != "parts" or parts}
    return {
        "kinds": [(kind, KIND_WORDS[kind], kind in query.kinds) for kind in KINDS],
        "sorts": [(sort, label, query.sort == sort) for sort, label in words.items()],
        "order_words": words[query.sort.removeprefix("-")],
        "columns": [(name, label, name in query.columns) for name, label in columns.items()],
        "last_generation": max(generations, default=0),
        "is_pareto_known": bool(parts),
        "all_rows": query.address(usual, view="all"),
        "pareto_rows": query.address(usual, view="pareto"),
    }
