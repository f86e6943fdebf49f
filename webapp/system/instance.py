"""The one instance that may run the services of a data folder, and how other commands find it and keep it alive.

    instance.lock   held alone by the instance: the studio, or the keeper that serves commands while no studio runs
    users.lock      shared by every command that needs the services; a keeper ends when it gets it alone
    workers.lock    shared by every command that needs a worker; a keeper starts workers while it is held
    studio.json     what the instance says of itself
    restoring       there from when `restore` begins to change things to when it has ended

Locks end with their process, so no crash leaves a wrong one behind.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from webapp.env import SetupError
from webapp.system.locks import FileLock, is_held

RESTORING: Final = "restoring"


@dataclass(frozen=True)
class Instance:
    """The running instance. `url` is empty for a keeper; `n_workers` counts the workers that are ready."""

    pid: int
    url: str
    n_workers: int

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


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
