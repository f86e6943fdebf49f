"""The body of a request: JSON of modest size, in which every key comes once and every number is one."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, Final, NoReturn

from django.http import HttpRequest
from ninja.parser import Parser

from merging import plain
from webapp.api.problems import Refusal

MAX_BYTES: Final = 1_000_000
JSON: Final = "application/json"


class BodyParser(Parser):
    """A Refusal with 413, 415 or 400 for anything else."""

    def parse_body(self, request: HttpRequest) -> dict[str, Any]:
        if request.content_type != JSON:
            found = request.content_type or "nothing"
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"The body is said to be {found[:100]}; expected {JSON}.")
        if len(request.body) > MAX_BYTES:
            raise Refusal(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"The body has {len(request.body)} bytes; expected at most {MAX_BYTES}.",
            )
        try:
            found = json.loads(request.body, parse_constant=_no_number, object_pairs_hook=plain.unique_keys)
        except (ValueError, RecursionError) as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"The body cannot be read as JSON: {error}"[:500]) from error
        body: dict[str, Any] = found
        return body


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
