"""The one instance that may run the services of a data folder, and how other commands find it and keep it alive.

    instance.lock   held alone by the instance: the studio, or the keeper that serves commands while no studio runs
    users.lock      shared by every command that needs the services; a keeper ends when it gets it alone
    workers.lock    shared by every command that needs a worker; a keeper starts workers while it is held
    studio.json     what the instance says of itself
    data-folder     in the folder of sockets: which data folder a studio runs on, and of which checkout
    restoring       there from when `restore` begins to change things to when it has ended

Locks end with their process, so no crash leaves a wrong one behind.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from webapp.env import BASE_DIR, SetupError, socket_folder
from webapp.system.locks import FileLock, is_held

RESTORING: Final = "restoring"
NOTE: Final = "data-folder"
START_SECONDS: Final = 120.0
"""How long workers may load before it is said that there is none."""


@dataclass(frozen=True)
class Instance:
    """The running instance. `url` is empty for a keeper; `n_workers` counts the workers that are ready; `started` is in Unix seconds;
    `workers_at` is the address where workers of other hosts may join.
    """

    pid: int
    url: str
    n_workers: int
    started: float = 0.0
    workers_at: str = ""

    def publish(self, data: Path) -> None:
        """Say it in the data folder, complete or not at all."""
        beside = data / f".studio.json.{os.getpid()}"
        beside.write_text(json.dumps(asdict(self)))
        beside.rename(_file(data))


def find(data: Path) -> Instance | None:
    """The instance that runs on this data folder and is ready; None when there is none, or while it starts."""
    try:
        instance = Instance(**json.loads(_file(data).read_text()))
    except FileNotFoundError:
        return None
    return instance if is_held(data / "instance.lock") and _lives(instance.pid) else None


def is_starting(data: Path) -> bool:
    """A studio starts here, or has begun less than two minutes ago: where no worker has reported yet, one is loading."""
    found = find(data)
    return _is_used(data) if found is None else 0 <= time.time() - found.started < START_SECONDS


def leave_note(data: Path, sockets: Path) -> None:
    """Let commands of this checkout that were not told which data folder find this one."""
    note = sockets / NOTE
    note.touch(mode=0o600)
    note.write_text(json.dumps([str(BASE_DIR), str(data)]))


def check_chosen(data: Path) -> None:
    """SetupError for the default data folder while a studio of this checkout runs on another one: that is hardly what was meant."""
    if os.environ.get("PROGENY_DATA") or os.environ.get("DATABASE_URL") or _is_used(data):
        return
    for other in _noted(socket_folder(data).parent):
        if other != data and _is_used(other):
            raise SetupError(
                f"Progeny runs on {other}, and this would use {data}: say --data {other}, or --data {data} if that is meant"
            )


def check_has_run(data: Path) -> None:
    """SetupError where there is no database, and nothing to keep."""
    if not os.environ.get("DATABASE_URL") and not (data / "postgres").exists():
        raise SetupError(
            f"there is nothing to back up in {data}: no Progeny has run there; --data DIR or PROGENY_DATA says where"
        )


def claim(data: Path) -> None:
    """Become the instance of this data folder, for as long as this process lives."""
    lock = FileLock(data / "instance.lock")
    if not lock.take(seconds=1):
        raise AlreadyRunning(data, find(data))
    withdraw(data)


def withdraw(data: Path) -> None:
    """Take back what was published."""
    _file(data).unlink(missing_ok=True)


def check_restored(data: Path) -> None:
    """SetupError while a restore that was cut off has left the database and the files of two different moments."""
    if (data / RESTORING).exists():
        raise SetupError("a restore was cut off here: do it again, with ./progeny restore FOLDER")


class AlreadyRunning(SetupError):
    """Another instance holds the data folder."""

    def __init__(self, data: Path, instance: Instance | None) -> None:
        if instance and instance.url:
            text = f"Progeny runs already on {data}: open {instance.url}, or choose another folder with --data DIR"
        elif instance:
            text = f"a command is using {data} (process {instance.pid}): wait until it has ended, or choose another folder with --data DIR"
        else:
            text = (
                f"another start or stop is under way on {data}: wait a moment, or choose another folder with --data DIR"
            )
        super().__init__(text)


def _file(data: Path) -> Path:
    return data / "studio.json"


def _is_used(data: Path) -> bool:
    """Somebody holds it. Makes no folder."""
    return (data / "instance.lock").exists() and is_held(data / "instance.lock")


def _noted(folder: Path) -> list[Path]:
    """The data folders of studios of this checkout and user, those that were killed included."""
    found = []
    for note in sorted(folder.glob(f"progeny-{os.getuid()}-*/{NOTE}")):
        try:
            checkout, data = json.loads(note.read_text()) if note.stat().st_uid == os.geteuid() else ("", "")
        except (OSError, ValueError):  # it ends just now
            continue
        if checkout == str(BASE_DIR):
            found.append(Path(data))
    return found


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
