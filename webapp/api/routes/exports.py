"""Models as files: asked for, waited for, fetched, removed."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Literal, cast
from uuid import UUID

from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import reverse
from ninja import Path, Router
from ninja import Status as Answer

from webapp.api.once import Key, once
from webapp.api.paging import USUAL, After, Limit, newest_first
from webapp.api.problems import Mistake, Refusal
from webapp.api.routes import DELETE, GET, POST
from webapp.api.security import EXPORTS, MAKING, READ, Asked
from webapp.api.shapes import exports as shapes
from webapp.api.shapes.keys import RowId, RunId
from webapp.api.shapes.runs import Status
from webapp.exports import listing, views
from webapp.exports.actions import remove_export, request_export
from webapp.exports.forms import FormForm
from webapp.exports.models import Export
from webapp.quotas import QuotaError
from webapp.sharing.access import editable_by, owned_by, run_or_refusal

router = Router(tags=["exports"])
Shown = Literal["all", "building", "ready", "failed"]
ExportId = Annotated[UUID, Path()]
FileName = Annotated[str, Path(max_length=200, pattern=r"^[^\x00/]+$")]
BYTES = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}


@router.api_operation(
    GET, "/exports", response=shapes.ExportPage, auth=READ, summary="Exports of runs that you may see"
)
def list_exports(request: Asked, show: Shown = "all", limit: Limit = USUAL, after: After = None) -> shapes.ExportPage:
    chosen = listing.filtered(listing.visible_to(request.user), show).prefetch_related("files")
    rows, follows = newest_first(chosen, after, limit)
    return shapes.ExportPage(items=[_export(request, row) for row in rows], next=follows)


@router.api_operation(
    POST, "/runs/{uuid:run_id}/candidates/{int:candidate_id}/exports", response={201: shapes.Export}, auth=EXPORTS,
    throttle=MAKING, summary="Build a candidate as files",
)  # fmt: skip
def create_export(
    request: Asked, run_id: RunId, candidate_id: RowId, wanted: shapes.Wanted, key: Key = None
) -> Answer[shapes.Export]:
    """The one that there is, where it was asked for before. 409 where it would take more room than one may have."""
    run = run_or_refusal(editable_by, request.user, run_id)
    candidate = get_object_or_404(run.candidates, pk=candidate_id)

    form = FormForm(wanted.model_dump())
    if not form.is_valid():
        raise _refused(form)
    chosen = form.cleaned_data

    def made() -> shapes.Export:
        try:
            row = request_export(run.owner, candidate, chosen["kind"], chosen["variant"])
        except QuotaError as error:
            raise Refusal(HTTPStatus.CONFLICT, f"{error}.") from error
        return _export(request, _visible(request, row.pk))

    return Answer(201, once(request, key, shapes.Export, made))


@router.api_operation(
    GET, "/exports/{uuid:export_id}", response=shapes.Export, auth=READ, summary="An export with its files"
)
def get_export(request: Asked, export_id: ExportId) -> shapes.Export:
    return _export(request, _visible(request, export_id))


@router.api_operation(
    DELETE, "/exports/{uuid:export_id}", response={204: None}, auth=EXPORTS, summary="Remove an export to make room"
)
def delete_export(request: Asked, export_id: ExportId) -> Answer[None]:
    """It can be built again. 409 while it is built, and where something needs it."""
    row = _visible(request, export_id)
    run_or_refusal(owned_by, request.user, row.candidate.run_id)
    if row.status != "done":
        raise Refusal(HTTPStatus.CONFLICT, f"It is {row.status}: only what is built can be removed.")
    if reason := remove_export(row):
        raise Refusal(HTTPStatus.CONFLICT, reason)
    return Answer(204, None)


@router.api_operation(
    GET, "/exports/{uuid:export_id}/files/{name}", auth=READ, summary="A file", response={200: None, 206: None, 416: None},
    openapi_extra={"responses": {200: BYTES, 206: BYTES}},
)  # fmt: skip
def get_file(request: Asked, export_id: ExportId, name: FileName) -> HttpResponseBase:
    """A range of it where one is asked for (`Range`, `If-Range`). 409 where its files are gone: build it anew."""
    answer = views.file(request, export_id, name)
    if answer.status_code == HTTPStatus.GONE:
        raise Refusal(HTTPStatus.CONFLICT, "The files of this export are gone: remove it and build it again.")
    return answer


def _refused(form: FormForm) -> Refusal:
    mistakes = [
        Mistake(at="body.kind" if name == "__all__" else f"body.{name}", detail=str(said))
        for name, sentences in form.errors.items()
        for said in sentences
    ]
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "It cannot be exported so: see what is wrong.", mistakes)


def _visible(request: Asked, export_id: UUID) -> Export:
    return get_object_or_404(listing.visible_to(request.user), pk=export_id)


def _export(request: Asked, row: Export) -> shapes.Export:
    run = row.candidate.run
    return shapes.Export(
        id=str(row.pk),
        run=str(run.pk),
        candidate=row.candidate_id,
        name=f"{run.name} {row.candidate.name} {row.kind} {row.variant}".strip(),
        kind=row.form.name,
        variant=row.variant,
        state=cast(Status, row.status),
        stage=row.stage,
        progress=row.progress,
        n_bytes=row.n_bytes,
        failure=row.failure,
        created=row.created,
        finished=row.finished,
        files=[_file(request, row, file.name, file.n_bytes, file.sha256) for file in row.files.all()],
    )


def _file(request: Asked, row: Export, name: str, n_bytes: int, sha256: str) -> shapes.File:
    address = reverse("api:get_file", args=[row.pk, name])
    return shapes.File(name=name, n_bytes=n_bytes, sha256=sha256, url=request.build_absolute_uri(address))
