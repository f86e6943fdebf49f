"""Runs: looked at, launched, steered; their events."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any, Literal, cast
from uuid import UUID, uuid4

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.http import urlencode
from ninja import Query, Router, Status

from merging.errors import RecipeError
from webapp.api.launching import choices_like, launch, project_named
from webapp.api.once import Key, once
from webapp.api.paging import LARGEST, MOST, USUAL, After, Limit, newest_first
from webapp.api.problems import Mistake, Refusal
from webapp.api.routes import DELETE, GET, PATCH, POST, PUT
from webapp.api.security import MAKING, READ, RUNS, Asked
from webapp.api.shapes import runs as shapes
from webapp.api.shapes.choices import RunChoices, choices_of
from webapp.api.shapes.keys import RunId
from webapp.runs import actions, archive, listing
from webapp.runs.launching import saved_drafts
from webapp.runs.launching.forms.values import as_sent, initial
from webapp.runs.launching.imports import imported
from webapp.runs.live.notes import asked_on
from webapp.runs.models import Evaluation, Event, Run, SplitName
from webapp.sharing import projects
from webapp.sharing.access import editable_by, owned_by, run_or_refusal, runs_of
from webapp.sharing.projects import with_projects

router = Router(tags=["runs"])
Shown = Literal["all", "live", "paused", "ended", "failed", "archived"]
Owners = Literal["all", "mine", "shared"]
ProjectId = Annotated[UUID | None, Query(description="the number of a project that you are a member of")]


@router.api_operation(GET, "/runs", response=shapes.RunPage, auth=READ, summary="Your runs, and those shared with you")
def list_runs(
    request: Asked,
    show: Shown = "all",
    of: Owners = "all",
    project: ProjectId = None,
    limit: Limit = USUAL,
    after: After = None,
) -> shapes.RunPage:
    """Newest first. `show`, `of` and `project` choose by state, by owner and by project."""
    chosen = listing.filtered(with_projects(runs_of(request.user), request.user), show, of, "").select_related("owner")
    if project:
        chosen = chosen.filter(Q(project_id=project))
    rows, follows = newest_first(chosen, after, limit)
    return shapes.RunPage(
        items=[shapes.RunRow(**_row(request, row)) for row in listing.rows(rows, False)], next=follows
    )


@router.api_operation(POST, "/runs", response={201: shapes.Run}, auth=RUNS, throttle=MAKING, summary="Launch a run")
def create_run(request: Asked, answer: HttpResponse, choices: RunChoices, key: Key = None) -> Status[shapes.Run]:
    """Everything that stands in its way is said at once, by field (422). 409 when you have as many runs as one may have."""

    def made() -> shapes.Run:
        return _run(request, launch(request.user, choices).pk)

    run = once(request, key, shapes.Run, made)
    answer["Location"] = reverse("api:get_run", args=[run.id])
    return Status(201, run)


@router.api_operation(
    POST, "/imports", response={201: shapes.Imported}, auth=RUNS, throttle=MAKING,
    summary="Understand a configuration of mergekit-evolve",
)  # fmt: skip
def create_import(request: Asked, config: shapes.Import, key: Key = None) -> Status[shapes.Imported]:
    """Keeps a draft that a person can complete on its page; `choices` launch it without one, where nothing is missing."""

    def made() -> shapes.Imported:
        user, form = request.user, uuid4().hex
        try:
            found = imported(user, config.mergekit_evolve)
        except RecipeError as error:
            mistake = Mistake(at="body.mergekit_evolve", detail=str(error))
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "The configuration cannot be read.", [mistake]) from error
        draft = saved_drafts.keep(user, form, as_sent(initial(user, found.start, form)), found.notes)
        page = f"{reverse('runs:new')}?{urlencode({'draft': draft.pk})}"
        return shapes.Imported(
            choices=choices_of(found.start), notes=list(found.notes), page=request.build_absolute_uri(page)
        )

    return Status(201, once(request, key, shapes.Imported, made))


@router.api_operation(GET, "/runs/{uuid:run_id}", response=shapes.Run, auth=READ, summary="A run")
def get_run(request: Asked, run_id: RunId) -> shapes.Run:
    return _run(request, run_id)


@router.api_operation(PATCH, "/runs/{uuid:run_id}", response=shapes.Run, auth=RUNS, summary="Give a run another name")
def rename_run(request: Asked, run_id: RunId, changes: shapes.Renaming) -> shapes.Run:
    actions.rename(run_or_refusal(editable_by, request.user, run_id), changes.name)
    return _run(request, run_id)


@router.api_operation(
    PUT, "/runs/{uuid:run_id}/project", response=shapes.Run, auth=RUNS, summary="Put a run into a project, or into none"
)
def place_run(request: Asked, run_id: RunId, placing: shapes.Placing) -> shapes.Run:
    """One's own run, into a project where one is an editor."""
    run = run_or_refusal(owned_by, request.user, run_id)
    projects.place(run, project_named(request.user, placing.project))
    return _run(request, run_id)


@router.api_operation(
    GET, "/projects", response=shapes.ProjectPage, auth=READ, summary="Projects that you are a member of"
)
def list_projects(request: Asked, limit: Limit = USUAL, after: After = None) -> shapes.ProjectPage:
    rows, follows = newest_first(projects.counted(projects.projects_of(request.user)), after, limit)
    return shapes.ProjectPage(items=[_project(row) for row in rows], next=follows)


@router.api_operation(
    DELETE, "/runs/{uuid:run_id}", response={204: None}, auth=RUNS, summary="End a run, and take it off every list"
)
def delete_run(request: Asked, run_id: RunId) -> Status[None]:
    actions.delete(run_or_refusal(owned_by, request.user, run_id))
    return Status(204, None)


@router.api_operation(
    POST,
    "/runs/{uuid:run_id}/pause",
    response=shapes.Run,
    auth=RUNS,
    summary="Begin nothing new; what is in flight counts",
)
def pause_run(request: Asked, run_id: RunId) -> shapes.Run:
    """409 where there is nothing to pause."""
    return _steered(request, run_id, actions.pause)


@router.api_operation(
    POST, "/runs/{uuid:run_id}/resume", response=shapes.Run, auth=RUNS, summary="Go on exactly where it stopped"
)
def resume_run(request: Asked, run_id: RunId) -> shapes.Run:
    """409 where it was not paused."""
    return _steered(request, run_id, actions.resume)


@router.api_operation(
    POST, "/runs/{uuid:run_id}/stop", response=shapes.Run, auth=RUNS, summary="End the search and keep the best"
)
def stop_run(request: Asked, run_id: RunId) -> shapes.Run:
    """409 where it is ending or has ended."""
    return _steered(request, run_id, actions.stop)


@router.api_operation(
    GET, "/runs/{uuid:run_id}/events", response=shapes.EventPage, auth=READ, summary="What happened after an event"
)
def list_events(
    request: Asked,
    run_id: RunId,
    after: Annotated[int, Query(ge=0, le=LARGEST, description="the number of the last event that you have")] = 0,
    limit: Annotated[int, Query(ge=1, le=5 * MOST)] = MOST,
) -> shapes.EventPage:
    """Numbered from 1 without gap: ask again after the last that you have, until that is `newest`."""
    run = get_object_or_404(runs_of(request.user), pk=run_id)
    rows = Event.objects.filter(run=run, seq__gt=after).order_by("seq")[:limit]
    items = [shapes.Event(seq=row.seq, kind=cast(Any, row.kind), at=row.created, payload=row.payload) for row in rows]
    return shapes.EventPage(items=items, newest=run.next_seq - 1)


@router.api_operation(
    POST, "/runs/{uuid:run_id}/archive", response=shapes.Run, auth=RUNS, summary="Take an ended run off the list"
)
def archive_run(request: Asked, run_id: RunId) -> shapes.Run:
    """Nothing else of it changes. 409 where it has not ended, or is archived already."""
    run = run_or_refusal(owned_by, request.user, run_id)
    return _moved(request, run, archive.put_away(request.user, [run.pk]), "archived already, or has not ended")


@router.api_operation(
    POST, "/runs/{uuid:run_id}/unarchive", response=shapes.Run, auth=RUNS, summary="Put a run on the list again"
)
def unarchive_run(request: Asked, run_id: RunId) -> shapes.Run:
    """409 where it is not archived."""
    run = run_or_refusal(owned_by, request.user, run_id)
    return _moved(request, run, archive.take_back(request.user, [run.pk]), "not archived")


def _moved(request: Asked, run: Run, n: int, otherwise: str) -> shapes.Run:
    if not n:
        raise Refusal(HTTPStatus.CONFLICT, f"{run.name} is {otherwise}.")
    return _run(request, run.pk)


def _steered(request: Asked, run_id: UUID, act: Callable[[Run], bool]) -> shapes.Run:
    run = run_or_refusal(editable_by, request.user, run_id)
    if not act(run):
        state = Run.objects.values_list("state", flat=True).get(pk=run.pk)
        raise Refusal(HTTPStatus.CONFLICT, f"{run.name} is {state}.")
    return _run(request, run_id)


def _run(request: Asked, run_id: UUID) -> shapes.Run:
    visible = with_projects(runs_of(request.user), request.user)
    run = get_object_or_404(visible.select_related("owner"), pk=run_id)
    [row] = listing.rows([run], with_curves=False)
    return shapes.Run(
        **_row(request, row),
        seed=run.seed,
        seq=run.next_seq - 1,
        winner=run.winner_id,
        examined=run.examined,
        device_seconds=row.work.seconds,
        choices=choices_like(request.user, run),
    )


def _project(found: Any) -> shapes.Project:
    """As `projects.counted` has it."""
    return shapes.Project(
        id=str(found.pk),
        name=found.name,
        owner=found.owner.get_username(),
        role=found.role,
        n_runs=found.n_runs,
        n_members=found.n_members,
        created=found.created,
    )


def _row(request: HttpRequest, row: listing.Row) -> dict[str, Any]:
    run = cast(Any, row.run)  # annotated by runs_of
    gain = row.gain
    return {
        "id": str(run.pk),
        "name": run.name,
        "page": request.build_absolute_uri(reverse("runs:detail", args=[run.pk])),
        "owner": run.owner.get_username(),
        "is_own": run.is_own,
        "may_edit": run.may_edit,
        "state": run.state,
        "message": run.message,
        "is_archived": run.archived_at is not None,
        "project": shapes.ProjectName(id=str(run.project_id), name=run.project_name) if run.project_id else None,
        "budget": run.budget,
        "n_scored": row.n_scored,
        "created": run.created,
        "started": run.started,
        "ended": run.ended,
        "best": _scored(row.best),
        "best_parent": _scored(row.parent),
        "gain": shapes.Interval(value=gain.value, low=gain.low, high=gain.high) if gain else None,
        "seconds_left": row.left.total_seconds() if row.left else None,
    }


def _scored(found: Evaluation | None) -> shapes.Scored | None:
    if found is None:
        return None
    split = cast(SplitName, asked_on(found.split))
    return shapes.Scored(candidate=found.candidate_id, name=found.candidate.name, split=split, result=result_of(found))


def result_of(found: Evaluation) -> shapes.Result:
    """The score of a done evaluation."""
    return shapes.Result(
        mean=found.mean or 0.0,
        low=found.low or 0.0,
        high=found.high or 0.0,
        n=found.n or 0,
        is_estimate=found.is_estimate,
    )
