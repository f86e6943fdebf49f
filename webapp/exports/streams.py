"""Files and folders on their way to a browser: a piece at a time, read in threads, never whole in memory.

Whatever is sent was opened before the first byte leaves: files that are removed meanwhile are still sent whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from importlib.metadata import version
from io import BufferedReader
from pathlib import Path
from typing import Final, Protocol

from zipstream import ZIP_STORED, ZipStream  # type: ignore[import-untyped]

PIECE_BYTES: Final = 1 << 17
_ZIP_MAKER: Final = version("zipstream-ng")


class Content(Protocol):
    """Something to send that is the same bytes each time, as long as its strong ETag is the same. Close it."""

    @property
    def etag(self) -> str: ...

    @property
    def n_bytes(self) -> int: ...

    def pieces(self, start: int, n_bytes: int) -> Iterator[bytes]:
        """So many bytes from `start` on; an empty piece says that nothing is there yet. OSError when there are fewer."""
        ...

    def close(self) -> None: ...


class File:
    """One file; its SHA-256 is its ETag. OSError when it is not there."""

    def __init__(self, path: Path, n_bytes: int, sha256: str) -> None:
        self.etag, self.n_bytes = f'"{sha256}"', n_bytes
        self._stream = path.open("rb")

    def pieces(self, start: int, n_bytes: int) -> Iterator[bytes]:
        self._stream.seek(start)
        while n_bytes > 0:
            piece = self._stream.read(min(PIECE_BYTES, n_bytes))
            if not piece:
                raise OSError(f"{self._stream.name} ended {n_bytes} bytes early")
            n_bytes -= len(piece)
            yield piece

    def close(self) -> None:
        self._stream.close()


class Archive:
    """A zip of files under the folder `root`, made while it is sent. Stored, not deflated: weights do not shrink.

    The same files give the same bytes, so it can be resumed: what was sent before is read again and left out. OSError when one of
    the files is not there.
    """

    def __init__(self, root: str, files: Sequence[tuple[Path, str]]) -> None:
        """`files` are paths with their SHA-256."""
        self._streams: list[BufferedReader] = []
        try:
            for path, _ in files:
                self._streams.append(path.open("rb"))
        except OSError:
            self.close()
            raise
        self._zip = ZipStream(compress_type=ZIP_STORED, sized=True)
        described: list[object] = [_ZIP_MAKER, root]
        for stream, (path, sha256) in zip(self._streams, files, strict=True):
            described.append([path.name, sha256, os.fstat(stream.fileno()).st_mtime_ns])
            self._zip.add_path(f"/dev/fd/{stream.fileno()}", f"{root}/{path.name}")
        self.etag = f'"{hashlib.sha256(json.dumps(described).encode()).hexdigest()}"'
        self.n_bytes = len(self._zip)

    def pieces(self, start: int, n_bytes: int) -> Iterator[bytes]:
        for piece in _gathered(iter(self._zip)):
            part = piece[min(start, len(piece)) :][:n_bytes]
            start -= min(start, len(piece))
            n_bytes -= len(part)
            yield part
            if not n_bytes:
                return

    def close(self) -> None:
        for stream in self._streams:
            stream.close()


class Sending:
    """Pieces of a content, each read in a thread. The response that sends it closes it."""

    def __init__(self, content: Content, start: int, n_bytes: int) -> None:
        self._content = content
        self._pieces = content.pieces(start, n_bytes)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (piece := await asyncio.to_thread(next, self._pieces, None)) is not None:
            if piece:
                yield piece

    def close(self) -> None:
        self._content.close()


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that are worth a thread."""
    held: list[bytes] = []
    n_held = 0
    for piece in pieces:
        held.append(piece)
        n_held += len(piece)
        if n_held >= PIECE_BYTES:
            yield b"".join(held)
            held, n_held = [], 0
    yield b"".join(held)
