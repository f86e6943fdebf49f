"""Workers of this machine for a server on another one: `./progeny join`. Checks first, in words; then a worker for each device.

Everything of its own is in a data folder here; the server's is only read.
"""

from __future__ import annotations

import argparse
import os
import secrets
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from webapp.env import BASE_DIR, Reach, SetupError, create_data_folder, write_once
from webapp.system.invites import Invite
from webapp.system.processes import Command
from webapp.system.programs import worker_commands, worker_has_loaded
from webapp.system.supervisor import Member, Supervisor

KEPT: Final = "invite"
MARK: Final = "mark"


class Joined(Supervisor):
    """The workers of this machine. `host` is the second half of their names."""

    def __init__(self, data: Path, host: str, site: str, say: Callable[[str], None]) -> None:
        super().__init__(data, say)
        self._host, self._site = host, site
        self._loaded: set[int] = set()

    def steps(self) -> list[Callable[[], None]]:
        return [self.launch_workers, self._welcome]

    def members(self) -> list[Member]:
        return self.workers

    def worker_commands(self) -> list[Command]:
        return worker_commands(self._host)

    def turn(self) -> None:
        for worker in self.workers:
            if worker.child.pid not in self._loaded and worker_has_loaded(worker.child):
                self._loaded.add(worker.child.pid)
                self.report(f"{worker.command.name} ready")

    def _welcome(self) -> None:
        where = f" at {self._site}" if self._site else ""
        self.say(f"\nThis machine computes for the Progeny{where}. Ctrl-C ends that; ./progeny join goes on with it\n")


def main(arguments: list[str]) -> None:
    """`./progeny join`."""
    parser = argparse.ArgumentParser(
        prog="./progeny join", description="Compute for a Progeny on another machine, until Ctrl-C."
    )
    parser.add_argument(
        "invite",
        nargs="?",
        default="",
        help="what ./progeny invite prints on the server; - to read it from standard input; not needed again",
    )
    parser.add_argument("--data", metavar="DIR", help="where models and results are kept meanwhile (data/joined)")
    chosen = parser.parse_args(arguments)
    data = Path(os.environ.get("PROGENY_DATA") or BASE_DIR / "data" / "joined").expanduser().resolve()
    create_data_folder(data)
    word = _word(chosen.invite, data)
    invite = Invite.read(word)
    _say(f"Data folder of this machine's workers: {data}")
    _enter(data, invite)
    os.environ["PROGENY_REACH"] = check(invite, _say)
    _keep(data / KEPT, word)
    Joined(data, f"{socket.gethostname()}-{_mark(data)}", invite.site, _say).run()


def check(invite: Invite, say: Callable[[str], None]) -> Reach:
    """Everything that a worker here will need, one after the other; SetupError for the first that is not as it must be."""
    import redis
    from django.db import DatabaseError, connection

    from webapp.system import servers
    from webapp.system.database import other_version

    found = connection.settings_dict
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        where, words = f"{found['HOST']}:{found['PORT'] or 5432}", " ".join(str(error).split()).rstrip(".?")
        raise SetupError(
            f"the database at {where} cannot be reached: {words}. Let the server run with --workers-at, and let this machine "
            "reach that port; an invitation is good until the server's gate.json is removed"
        ) from error
    say("  database reached")
    try:
        servers.queue()
    except redis.RedisError as error:
        raise SetupError(
            f"the queue at {invite.redis.rpartition('@')[2]} cannot be reached: {error}. Let this machine reach that port"
        ) from error
    say("  queue reached")
    if difference := other_version():
        raise SetupError(difference)
    say(f"  version {invite.version}")
    reach = _reach(invite)
    say(f"  files by {'the shared data folder' if reach == 'shared' else f'the store {invite.store}'}")
    connection.close()
    return reach


def _reach(invite: Invite) -> Reach:
    """How models and questions come here: the data folder is mounted at the same path and is of this very database, or by the store."""
    from webapp.store.errors import StoreError
    from webapp.store.places import Store
    from webapp.system.database import identity_in
    from webapp.system.models import Installation

    installation = Installation.objects.get()
    if str(installation.id) != invite.identity:
        raise SetupError(
            "the database is of another installation than the invitation: get another by ./progeny invite on the server"
        )
    there = identity_in(Path(invite.data))
    if there == installation.id:
        return "shared"
    if not invite.store:
        what = "is that of another installation" if there else "is not here"
        raise SetupError(
            f"the server's data folder {invite.data} {what}, and there is no store: mount it at the same path, with the folders of the "
            "models, or set PROGENY_STORE on the server and invite again"
        )
    try:
        Store(invite.store).check()
    except StoreError as error:
        raise SetupError(str(error)) from error
    return "store"


def _enter(data: Path, invite: Invite) -> None:
    """Be an installation of that server. What opens the store may be another here."""
    import django

    for name, value in invite.environment.items():
        os.environ.setdefault(name, value)
    os.environ.update(
        PROGENY_DATA=str(data), DATABASE_URL=invite.database, REDIS_URL=invite.redis, PROGENY_STORE=invite.store
    )
    django.setup()


def _word(given: str, data: Path) -> str:
    if given == "-":
        return sys.stdin.readline()
    if given:
        return given
    try:
        return (data / KEPT).read_text()
    except FileNotFoundError as error:
        raise SetupError(
            "whom to join? Give what ./progeny invite prints on the server: ./progeny join progeny-join:…"
        ) from error


def _keep(file: Path, word: str) -> None:
    """For the next start."""
    file.unlink(missing_ok=True)
    write_once(file, word.strip())


def _mark(data: Path) -> str:
    """What tells this machine's workers from those of another one of the same name."""
    if not (data / MARK).exists():
        write_once(data / MARK, secrets.token_hex(2))
    return (data / MARK).read_text()


def _say(line: str) -> None:
    print(line, flush=True)
