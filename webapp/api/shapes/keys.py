"""The parts of addresses."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from ninja import Path

from webapp.api.paging import LARGEST

RowId = Annotated[int, Path(ge=1, le=LARGEST)]
RunId = Annotated[UUID, Path()]
