"""For commands that need the services: those of the studio if it runs on the data folder, otherwise a keeper's, for as long as needed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import DatabaseError, connections
from django.utils import timezone

from webapp.env import BASE_DIR, SetupError, create_data_folder
from webapp.system import instance
from webapp.system.locks import FileLock, is_held, is_held_alone
from webapp.system.models import Worker

START_SECONDS: Final = 180.0
POLL_SECONDS: Final = 0.05
ALIVE: Final = timedelta(seconds=60)


@contextmanager
def ensure_services(say: Callable[[str], None], worker: bool = False) -> Iterator[None]:
    """Database and queue, and on request a worker, until the end of the block. Any number of commands at once.

    The first thing said is which data folder this is.

    When this was the last command, the end of the block waits until everything that was started for it has stopped.
    """
    data: Path = settings.DATA_DIR
    instance.check_chosen(data)
    say(f"Data folder: {data}")
    create_data_folder(data)
    if _others_provide():
        yield
        return
    try:
        with ExitStack() as held:
            held.enter_context(FileLock(data / "users.lock")).share()
            if worker:
                held.enter_context(FileLock(data / "workers.lock")).share()
            keeper = None if is_held(data / "instance.lock") else _start_keeper(data, say)
            _wait_until_ready(data, worker, keeper)
            yield
    finally:
        connections.close_all()
        _wait_until_stopped(data)


def _others_provide() -> bool:
    """Database, queue and a worker are run by somebody else, as with docker compose."""
    if not (os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL")):
        return False
    try:
        return Worker.objects.filter(stopped=None, seen__gt=timezone.now() - ALIVE).exists()
    except DatabaseError:
        return False


def _start_keeper(data: Path, say: Callable[[str], None]) -> subprocess.Popen[bytes]:
    """A process that outlives this command if another one needs it; Ctrl-C in this terminal does not reach it."""
    say("Starting the services")
    with _keeper_log(data).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, str(BASE_DIR / "manage.py"), "keeper"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _wait_until_ready(data: Path, worker: bool, keeper: subprocess.Popen[bytes] | None) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        found = instance.find(data)
        if found and (found.n_workers or not worker):
            return
        ended = keeper is not None and keeper.poll() is not None
        if (ended or keeper is None) and not is_held(data / "instance.lock"):
            raise SetupError(f"the services did not start: {_last_words(data)}")
        if time.monotonic() > deadline:
            raise SetupError(f"the services were not ready after {START_SECONDS:.0f} s (see {data / 'logs'})")
        time.sleep(POLL_SECONDS)


def _wait_until_stopped(data: Path) -> None:
    """Nothing is left behind: a keeper that nobody uses any more ends at once, a studio and one in use go on."""
    while is_held(data / "instance.lock"):
        found = instance.find(data)
        in_use = is_held(data / "users.lock") and not is_held_alone(data / "users.lock")
        if in_use or (found and found.url):
            return
        time.sleep(POLL_SECONDS)


def _last_words(data: Path) -> str:
    lines = _keeper_log(data).read_text(errors="replace").split("\n") if _keeper_log(data).exists() else []
    said = [line for line in lines if line.strip()]
    return said[-1].removeprefix("progeny: ").rstrip(".") if said else "no message"


def _keeper_log(data: Path) -> Path:
    folder = data / "logs"
    folder.mkdir(exist_ok=True)
    return folder / "keeper.log"
