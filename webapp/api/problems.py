"""What went wrong, for programs: RFC 9457, with the fields that were wrong in `errors`. Asks no database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Final

from django.http import JsonResponse
from pydantic import BaseModel, Field

MEDIA_TYPE: Final = "application/problem+json"


class Mistake(BaseModel):
    """Something of the request that cannot be taken as it is."""

    at: str = Field(description="where: body.measures.0.weight, query.limit")
    detail: str = Field(description="what was found there, and what was expected")


class Problem(BaseModel):
    """Why a request was not done."""

    type: str = Field(default="about:blank", description="always about:blank: the status says which kind it is")
    title: str = Field(description="the status in words")
    status: int
    detail: str = Field(description="a sentence for a person")
    errors: list[Mistake] = Field(default=[], description="what is wrong with the request, one by one")


class Refusal(Exception):
    """Ends a request with a problem."""

    def __init__(self, status: HTTPStatus, detail: str, mistakes: Iterable[Mistake] = ()) -> None:
        self.status, self.detail, self.mistakes = status, detail, tuple(mistakes)
        super().__init__(detail)


def problem(
    status: int, detail: str, mistakes: Iterable[Mistake] = (), headers: Mapping[str, str] | None = None
) -> JsonResponse:
    """The answer."""
    found = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, errors=list(mistakes))
    return JsonResponse(found.model_dump(), status=status, content_type=MEDIA_TYPE, headers=headers)
