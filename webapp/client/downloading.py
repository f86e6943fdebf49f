"""Bringing an export here: what was cut goes on where it stopped, and a file has its name only when its SHA-256 is right."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from hashlib import file_digest
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from webapp.client.server import AwayError, ClientError, Server, plain

PIECE: Final = 1 << 20
TRIES: Final = 20
"""Without a new byte, before it is given up."""
WAIT_SECONDS: Final = 2.0


def built(server: Server, export: Mapping[str, Any], console: Console) -> Mapping[str, Any]:
    """The export as soon as workers have made it; ClientError when they could not."""
    with console.status("It is being built") as status:
        while export["state"] in ("pending", "leased"):
            status.update(f"It is being built: {plain(export['stage'] or 'waiting')}, {export['progress']:.0%}")
            time.sleep(WAIT_SECONDS)
            export = server.get(f"/exports/{export['id']}")
    if export["state"] != "done":
        raise ClientError(f"it could not be built: {plain(export['failure'])}")
    return export


def download(server: Server, export: Mapping[str, Any], folder: Path, console: Console) -> None:
    """Every file of a finished export, into a folder. What is there already, whole and right, is not fetched again."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        for file in export["files"]:
            name = file["name"]
            if Path(name).name != name or name in (".", ".."):
                raise ClientError(f"the server names a file {plain(name)!r}, which would lie elsewhere")
            task = progress.add_task(plain(name), total=file["n_bytes"])
            path = f"/exports/{export['id']}/files/{name}"
            _fetch(server, path, file, folder / name, partial(_tell, progress, task))


def _tell(progress: Progress, task: TaskID, n_bytes: int) -> None:
    progress.update(task, completed=n_bytes)


def _fetch(server: Server, path: str, file: Mapping[str, Any], target: Path, tell: Callable[[int], None]) -> None:
    wanted = file["sha256"]
    if target.is_file() and target.stat().st_size == file["n_bytes"] and _digest(target) == wanted:
        tell(file["n_bytes"])
        return
    part = target.with_name(f"{target.name}.part")
    tries = 0
    while _size(part) < file["n_bytes"]:
        before = _size(part)
        try:
            _go_on(server, path, part, before, wanted, tell)
        except (AwayError, HTTPException, OSError) as error:
            tries = 0 if _size(part) > before else tries + 1
            if tries >= TRIES or (isinstance(error, OSError) and error.filename):
                raise ClientError(
                    f"{target.name} could not be fetched: {error}. Ask again: it goes on where it stopped"
                ) from error
            time.sleep(WAIT_SECONDS)
    if _digest(part) != wanted:
        part.unlink()
        raise ClientError(
            f"{target.name} arrived with another SHA-256 than the server says: it is thrown away. Ask again"
        )
    part.replace(target)


def _go_on(server: Server, path: str, part: Path, start: int, etag: str, tell: Callable[[int], None]) -> None:
    with server.file(path, start, etag) as answer, part.open("ab" if answer.status == 206 else "wb") as opened:
        while piece := answer.read(PIECE):
            opened.write(piece)
            tell(opened.tell())


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return file_digest(opened, "sha256").hexdigest()
