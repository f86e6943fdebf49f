"""The OpenAPI document: ninja's, with what every operation can answer besides what it is for."""

from __future__ import annotations

from typing import Any, Final

from ninja.openapi.schema import OpenAPISchema

from webapp.api.problems import MEDIA_TYPE, Mistake, Problem

REFERENCE: Final = "#/components/schemas/{model}"
EVERYWHERE: Final = {
    401: "No valid token",
    403: "Not allowed to this token or person",
    422: "Not as it should be",
    429: "Too many requests",
}
ABOUT_ONE: Final = {404: "Not there, or not yours"}
WITH_BODY: Final = {400: "No JSON", 413: "Too large", 415: "No JSON by its name"}
WRITING: Final = {409: "Not as things are now"}
HEADERS: Final = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}, "required": True}},
    429: {"Retry-After": {"schema": {"type": "string", "pattern": "^[0-9]+$"}, "required": True}},
}


def completed(document: OpenAPISchema) -> OpenAPISchema:
    """The same document with every problem that an operation can answer with, and without HEAD, which is GET without its body."""
    for model in (Problem, Mistake):
        document["components"]["schemas"][model.__name__] = _schema(model)
    for path, operations in document["paths"].items():
        operations.pop("head", None)
        for method, operation in operations.items():
            operation["responses"] |= {
                str(status): _problem(status, words) for status, words in _problems(path, method, operation).items()
            }
    return document


def _problems(path: str, method: str, operation: dict[str, Any]) -> dict[int, str]:
    found = dict(EVERYWHERE)
    if "{" in path or "requestBody" in operation:  # a body may name a run to be like
        found |= ABOUT_ONE
    if "requestBody" in operation:
        found |= WITH_BODY
    return found if method == "get" else found | WRITING


def _problem(status: int, words: str) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": {"$ref": REFERENCE.format(model=Problem.__name__)}}}
    found: dict[str, Any] = {"description": words, "content": content}
    return found | ({"headers": HEADERS[status]} if status in HEADERS else {})


def _schema(model: type[Problem | Mistake]) -> dict[str, Any]:
    found = model.model_json_schema(ref_template=REFERENCE, mode="serialization")
    found.pop("$defs", None)
    return found
