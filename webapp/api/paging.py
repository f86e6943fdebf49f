"""Lists in pages by keyset: each names where the next begins, so that a page costs the same however deep it lies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Generic, Protocol, TypeVar
from uuid import UUID

from django.db import models
from django.db.models import Q, QuerySet
from ninja import Query
from pydantic import BaseModel, Field

USUAL: Final = 50
MOST: Final = 200
LARGEST: Final = 2**63 - 1
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
Limit = Annotated[int, Query(ge=1, le=MOST, description="items on the page, at most")]
After = Annotated[
    str | None,
    Query(
        pattern=r"^[0-9]{1,16}\.[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        description="`next` of the page before",
    ),
]
AfterId = Annotated[int, Query(ge=0, le=LARGEST, description="`next` of the page before")]
T = TypeVar("T")
Row = TypeVar("Row", covariant=True)
M = TypeVar("M", bound=models.Model)


class Rows(Protocol[Row]):
    """What a page is cut from: rows of the database, or a list."""

    def __getitem__(self, part: slice, /) -> Iterable[Row]: ...


class Page(BaseModel, Generic[T]):
    """A part of a list."""

    items: list[T]
    next: str | None = Field(description="what to send as `after` for the page that follows; null on the last")


def newest_first(rows: QuerySet[M], after: str | None, limit: int) -> tuple[list[M], str | None]:
    """A page of rows with `created` and a UUID, and where the next begins."""
    if after:
        moment, pk = _parted(after)
        rows = rows.filter(Q(created__lt=moment) | Q(created=moment, pk__lt=pk))
    return cut(rows.order_by("-created", "-pk"), limit, _place)


def oldest_first(rows: QuerySet[M], after: int, limit: int) -> tuple[list[M], str | None]:
    """A page of rows that are numbered."""
    return cut(rows.filter(pk__gt=after).order_by("pk"), limit, lambda row: str(row.pk))


def cut(rows: Rows[T], limit: int, place: Callable[[T], str]) -> tuple[list[T], str | None]:
    """The first rows, and the place of the last of them when there are more."""
    found = list(rows[: limit + 1])
    return (found[:limit], place(found[limit - 1])) if len(found) > limit else (found, None)


def _place(row: Any) -> str:
    return f"{(row.created - EPOCH) // timedelta(microseconds=1)}.{row.pk}"


def _parted(after: str) -> tuple[datetime, UUID]:
    microseconds, _, pk = after.partition(".")
    return EPOCH + timedelta(microseconds=int(microseconds)), UUID(pk)
