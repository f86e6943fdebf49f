"""Which bytes of a file a request asks for (RFC 9110, sections 13 and 14): one range at most, validated by a strong ETag."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


@dataclass(frozen=True)
class Slice:
    """Bytes `start` to `stop` (exclusive). `is_part` when it was asked for as a range."""

    start: int
    stop: int
    is_part: bool

    @property
    def n_bytes(self) -> int:
        return self.stop - self.start


def asked(headers: Mapping[str, str], etag: str, size: int) -> Slice | None:
    """The bytes to send; None when the range lies outside of the file (416).

    Several ranges, another unit, or an If-Range that is not this very file: the whole file, as the RFC allows.
    """
    whole = Slice(0, size, is_part=False)
    match = _RANGE.fullmatch(headers.get("Range", ""))
    if match is None or headers.get("If-Range", etag) != etag or match[0] == "bytes=-":
        return whole
    first, last = match[1], match[2]
    if not first:
        return Slice(max(0, size - int(last)), size, is_part=True) if int(last) and size else None
    if last and int(last) < int(first):
        return whole
    if int(first) >= size:
        return None
    return Slice(int(first), min(int(last) + 1, size) if last else size, is_part=True)


def is_known(headers: Mapping[str, str], etag: str) -> bool:
    """The client has this very file: If-None-Match names it (304)."""
    tags = [tag.strip().removeprefix("W/") for tag in headers.get("If-None-Match", "").split(",")]
    return etag in tags or "*" in tags
