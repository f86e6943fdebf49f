"""Files and folders on their way to a browser: a piece at a time, read in threads, never whole in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from zipstream import ZIP_STORED, ZipStream  # type: ignore[import-untyped]

PIECE_BYTES: Final = 1 << 20


async def pieces(path: Path, start: int, n_bytes: int) -> AsyncIterator[bytes]:
    """`n_bytes` of a file from `start` on. Open from the first piece to the last: a file that is removed meanwhile is still sent whole."""
    stream = await asyncio.to_thread(path.open, "rb")
    try:
        await asyncio.to_thread(stream.seek, start)
        while n_bytes > 0:
            piece = await asyncio.to_thread(stream.read, min(PIECE_BYTES, n_bytes))
            if not piece:
                raise OSError(f"{path} ended {n_bytes} bytes early")
            n_bytes -= len(piece)
            yield piece
    finally:
        await asyncio.to_thread(stream.close)


def archive(folder: Path, names: list[str], root: str) -> ZipStream:
    """A zip of these files under the folder `root`; stored, not deflated: weights do not shrink. `len()` of it is its size in bytes."""
    stream = ZipStream(compress_type=ZIP_STORED, sized=True)
    for name in names:
        stream.add_path(folder / name, f"{root}/{name}")
    return stream


async def in_threads(iterator: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The same pieces; every step runs in a thread."""
    while (piece := await asyncio.to_thread(next, iterator, None)) is not None:
        yield piece
