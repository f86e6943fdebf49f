"""Postgres' own programs for this installation's database: a dump of one moment, and its return in one transaction."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from django.db import connection, transaction
from psycopg.conninfo import make_conninfo

from webapp.env import SetupError
from webapp.system import servers
from webapp.system.embedded import postgres_binaries

# A schema made anew holds nothing of what stood there, not even tables that a newer version had.
_ANEW: Final = ("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
_SHARED: Final = ("--no-owner", "--no-privileges")


@contextmanager
def one_moment() -> Iterator[str]:
    """A transaction that sees the database as of now, for as long as it takes, and the name by which `dump` sees the same."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        cursor.execute("SELECT pg_export_snapshot()")
        yield cursor.fetchone()[0]


def dump(file: Path, snapshot: str) -> None:
    """Write the database, as of `one_moment`, in Postgres' custom format."""
    _run("pg_dump", "--format=custom", *_SHARED, f"--snapshot={snapshot}", f"--file={file}", f"--dbname={_address()}")


def load(file: Path, script: Path) -> None:
    """Put a dump in place of all that the database holds: all of it, or nothing. `script` is written on the way, and is large."""
    _run("pg_restore", *_SHARED, f"--file={script}", str(file))
    connection.close()
    before = [word for statement in _ANEW for word in ("--command", statement)]
    options = ("--single-transaction", "--set=ON_ERROR_STOP=1", "--quiet", "--no-psqlrc", "--output=/dev/null")
    _run("psql", *options, *before, f"--file={script}", f"--dbname={_address()}")


def _run(name: str, *words: str) -> None:
    environment = {**os.environ, "PGPASSWORD": str(connection.settings_dict["PASSWORD"] or "")}
    if not environment["PGPASSWORD"]:
        del environment["PGPASSWORD"]
    done = subprocess.run([_program(name), *words], env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = next((line for line in done.stderr.splitlines() if "error" in line.lower()), done.stderr.strip())
        raise SetupError(f"{name} failed: {reason}")


def _program(name: str) -> str:
    """Of the server's version if there is one here, otherwise of a newer one, such as that which comes with the embedded server."""
    server = servers.postgres().major
    places = [shutil.which(name), f"/usr/lib/postgresql/{server}/bin/{name}", postgres_binaries() / name]
    found = {_major_version(place): str(place) for place in reversed(places) if place and Path(place).exists()}
    fit = [version for version in found if version >= server]
    if not fit:
        raise SetupError(f"there is no {name} of Postgres {server} here: install the client programs of that version")
    return found[min(fit)]


def _major_version(program: Path | str) -> int:
    """18 for `pg_dump (PostgreSQL) 18.4`."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.split()[2].partition(".")[0])


def _address() -> str:
    """Where the database is, in the words of libpq; the password goes through the environment, where no list of processes shows it."""
    known = connection.settings_dict
    names = {"dbname": "NAME", "user": "USER", "host": "HOST", "port": "PORT"}
    ours = {"pool", "options", "connect_timeout", "keepalives_idle"}
    options = {name: value for name, value in known["OPTIONS"].items() if name not in ours}
    return make_conninfo(**{word: known[name] for word, name in names.items() if known[name]}, **options)
