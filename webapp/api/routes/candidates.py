"""The candidates of a run: its leaderboard, and everything about one of them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, cast

from django.shortcuts import get_object_or_404
from django.urls import reverse
from ninja import Query, Router

from merging.errors import RecipeError
from merging.mergekit import to_yaml
from merging.recipes import Recipe
from webapp.api.paging import LARGEST, USUAL, Limit, cut
from webapp.api.problems import Mistake, Refusal
from webapp.api.routes import GET
from webapp.api.routes.runs import result_of
from webapp.api.security import READ, Asked
from webapp.api.shapes import runs as shapes
from webapp.api.shapes.keys import RowId, RunId
from webapp.runs.board import leaderboard
from webapp.runs.board.field import Entry, Result, field
from webapp.runs.board.standing import SPLITS, by_split, scores_of
from webapp.runs.config import RunConfig
from webapp.runs.live.notes import asked_on
from webapp.runs.models import Candidate, CandidateKind, Evaluation, Score, SplitName
from webapp.sharing.access import runs_of

router = Router(tags=["candidates"])
AfterLine = Annotated[int | None, Query(ge=1, le=LARGEST, description="`next` of the page before")]


@router.api_operation(
    GET,
    "/runs/{uuid:run_id}/leaderboard",
    response=shapes.Leaderboard,
    auth=READ,
    summary="Everybody in the race, best first",
)
def list_leaderboard(
    request: Asked,
    run_id: RunId,
    kind: CandidateKind | None = None,
    limit: Limit = USUAL,
    after: AfterLine = None,
) -> shapes.Leaderboard:
    """Candidates, parents and baselines that are scored; those whose answers cannot be trusted come last."""
    run = get_object_or_404(runs_of(request.user), pk=run_id)
    lines = [entry for entry in field(run).entries if kind in (None, entry.kind)]
    shown, follows = cut(lines[_start(lines, after) :], limit, lambda entry: str(entry.pk))
    names = [column.name for column in leaderboard.columns(RunConfig.from_json(run.config))]
    return shapes.Leaderboard(items=[_place(entry) for entry in shown], next=follows, n=len(lines), benchmarks=names)


@router.api_operation(
    GET,
    "/runs/{uuid:run_id}/candidates/{int:candidate_id}",
    response=shapes.Candidate,
    auth=READ,
    summary="A candidate with its recipe",
)
def get_candidate(request: Asked, run_id: RunId, candidate_id: RowId) -> shapes.Candidate:
    run = get_object_or_404(runs_of(request.user), pk=run_id)
    row = get_object_or_404(run.candidates.select_related("generation"), pk=candidate_id)
    found = by_split(row.evaluations.all())
    parts = scores_of(found.values())
    page = reverse("runs:candidate", args=[run.pk, row.pk])
    return shapes.Candidate(
        id=row.pk,
        run=str(run.pk),
        page=request.build_absolute_uri(page),
        name=row.name,
        kind=cast(CandidateKind, row.kind),
        generation=row.generation.number if row.generation else None,
        index=row.index,
        genome=row.genome,
        recipe=row.recipe,
        recipe_digest=row.recipe_digest,
        mergekit=_mergekit(row),
        evaluations=[
            _evaluation(found[row.pk, split], parts.get(found[row.pk, split].pk, []))
            for split in SPLITS
            if (row.pk, split) in found
        ],
    )


def _start(lines: list[Entry], after: int | None) -> int:
    """Where the page begins that comes after a candidate."""
    if after is None:
        return 0
    found = next((i for i, entry in enumerate(lines) if entry.pk == after), None)
    if found is None:
        mistake = Mistake(at="query.after", detail=f"no line of this leaderboard is candidate {after}")
        raise Refusal(HTTPStatus.NOT_FOUND, "There is no such page.", [mistake])
    return found + 1


def _place(entry: Entry) -> shapes.Place:
    return shapes.Place(
        id=entry.pk,
        name=entry.name,
        kind=entry.kind,
        generation=entry.generation,
        index=entry.number,
        place=entry.place or None,
        fitness=entry.fitness,
        is_healthy=entry.is_healthy,
        is_front=entry.is_front,
        search=_result(entry.search),
        validation=_result(entry.validation) if entry.validation else None,
        final=_result(entry.final) if entry.final else None,
        by_benchmark=list(entry.parts),
        scored=entry.finished,
    )


def _result(found: Result) -> shapes.Result:
    return shapes.Result(**found._asdict())


def _mergekit(row: Candidate) -> str | None:
    try:
        return to_yaml(Recipe.from_json(row.recipe))
    except RecipeError:
        return None


def _evaluation(found: Evaluation, parts: list[Score]) -> shapes.Evaluation:
    return shapes.Evaluation(
        split=cast(SplitName, asked_on(found.split)),
        status=cast(shapes.Status, found.status),
        result=result_of(found) if found.status == "done" else None,
        parts=[
            shapes.Part(
                benchmark=part.benchmark,
                scorer=part.scorer,
                mean=part.mean,
                low=part.low,
                high=part.high,
                n=part.n,
                concerns=part.concerns,
            )
            for part in parts
        ],
        failure=found.failure,
    )
