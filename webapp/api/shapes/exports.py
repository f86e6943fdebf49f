"""Models as files."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from webapp.api.paging import Page
from webapp.api.shapes.choices import Body
from webapp.api.shapes.runs import Status
from webapp.exports.kinds import KindName


class Wanted(Body):
    """What a candidate is exported as."""

    kind: KindName = "folder"
    variant: str = Field(default="", max_length=10, description="how a GGUF file keeps numbers, such as Q8_0")


class File(BaseModel):
    """One file of an export."""

    name: str
    n_bytes: int
    sha256: str
    url: str = Field(
        description="asked for with the same token; it takes Range and If-Range, and its ETag is the SHA-256"
    )


class Export(BaseModel):
    """A candidate as files. They are there once it is done."""

    id: str
    run: str
    candidate: int
    name: str = Field(description="the run's, the candidate's and the kind")
    kind: KindName
    variant: str
    state: Status
    stage: str
    progress: float = Field(description="share in [0, 1]")
    n_bytes: int | None
    failure: str = Field(description="what went wrong, and what to do next")
    created: datetime
    finished: datetime | None
    files: list[File]


class ExportPage(Page[Export]):
    """Exports, newest first."""
