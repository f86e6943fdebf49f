"""The whole of /api/v1/: its rooms, how errors are said, and the document that describes it."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from typing import Any, Final

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation

from webapp.api.document import completed
from webapp.api.parsing import MAX_BYTES, BodyParser
from webapp.api.problems import Mistake, Refusal, problem
from webapp.api.routes import candidates, exports, library, runs, server
from webapp.api.security import EVERY

DESCRIPTION: Final = (
    "The same objects as on the pages, for programs. Every request carries `Authorization: Bearer TOKEN`, with a token from your Account "
    "page. Lists come in pages: send `next` as `after`. Errors are RFC 9457 problems."
)
ROOT: Final = "api/v1/"
NOT_THERE: Final = "There is nothing here, or it is not yours to see."


class Site(NinjaAPI):
    """Ninja's, with operations named by their functions."""

    def get_openapi_operation_id(self, operation: Operation) -> str:
        return operation.view_func.__name__


site = Site(
    title="Progeny",
    version="1",
    description=DESCRIPTION,
    urls_namespace="api",
    docs_url=None,
    openapi_url=None,
    parser=BodyParser(),
    throttle=EVERY,
)
for room in (runs, candidates, exports, library, server):
    site.add_router("", room.router)


@cache
def document() -> OpenAPISchema:
    """What describes it, for programs that are written from such documents, with every answer. Takes a third of a second."""
    return completed(site.get_openapi_schema(path_prefix=f"/{ROOT}"))


@site.exception_handler(Refusal)
def refused(request: HttpRequest, error: Refusal) -> HttpResponse:
    return problem(error.status, error.detail, error.mistakes)


@site.exception_handler(AuthenticationError)
def not_known(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    detail = "A token is needed that is valid: Authorization: Bearer TOKEN, from your Account page."
    return problem(HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": "Bearer"})


@site.exception_handler(HttpError)
def failed(request: HttpRequest, error: HttpError) -> HttpResponse:
    """Ninja's own: a body that cannot be read, with our reason as its cause; a scope that is missing; too many requests."""
    if isinstance(error.__cause__, Refusal):
        return refused(request, error.__cause__)
    return problem(error.status_code, str(error))


@site.exception_handler(ValidationError)
def not_valid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    mistakes = [Mistake(at=_place(one["loc"]), detail=one["msg"]) for one in error.errors]
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "The request is not as it should be: see what is wrong.", mistakes)


@site.exception_handler(Http404)
def not_there(request: HttpRequest, error: Http404) -> HttpResponse:
    return problem(HTTPStatus.NOT_FOUND, NOT_THERE)


@site.exception_handler(PermissionDenied)
def not_allowed(request: HttpRequest, error: PermissionDenied) -> HttpResponse:
    return problem(HTTPStatus.FORBIDDEN, str(error))


@site.exception_handler(RequestDataTooBig)
def too_large(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
    return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is too large; expected at most {MAX_BYTES} bytes.")


def nowhere(request: HttpRequest, rest: str) -> HttpResponseBase:
    """Every address below the site's that is none."""
    return problem(HTTPStatus.NOT_FOUND, NOT_THERE)


def _place(parts: tuple[Any, ...]) -> str:
    """`body.measures.0.weight`: of a body without the name that the function gives it."""
    source, *rest = parts
    return ".".join(map(str, [source, *(rest[1:] if source == "body" else rest)]))
