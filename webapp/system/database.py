"""Brings the database to what this version of the code expects: tables, the bundled parents and benchmark, and who may come from where;
and tells whether that is what it has.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Final
from uuid import UUID

from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from psycopg import sql

from merging.words import joined
from webapp.env import SetupError, create_data_folder, gate
from webapp.library.actions import install_demo_pack
from webapp.system.embedded import WORKER_ROLE
from webapp.system.models import Installation
from webapp.system.status import code_version

IDENTITY: Final = "installation"
"""The file in the data folder that says of which database it is."""
KEEPS_VERSION: Final = "0004_other_hosts"
"""The migration since which the database says which version made it."""
_GRANTS: Final = (
    "GRANT USAGE ON SCHEMA public TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
    "GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA public TO {role}",
)


def prepare_database() -> None:
    """Do what is missing. The second time there is nothing to do."""
    try:
        if has_pending_migrations():
            call_command("migrate", interactive=False, verbosity=0)
    except OperationalError as error:
        raise SetupError(f"the database does not answer: {' '.join(str(error).split())}") from error
    install_demo_pack()
    _identify(Path(settings.DATA_DIR))
    if not os.environ.get("DATABASE_URL") and (opened := gate(Path(settings.DATA_DIR))):
        _let_workers_in(opened.database_password)


def identity_in(data: Path) -> UUID | None:
    """Of which installation a folder is the data folder; None when it is of none, or not there."""
    try:
        return UUID((data / IDENTITY).read_text().strip())
    except (OSError, ValueError):
        return None


def other_version() -> str:
    """How the tables differ from what this code knows, and what to do about it, for a person; "" when they do not."""
    found = MigrationRecorder(connection).applied_migrations()
    expected, here = _known_migrations(), code_version()
    made_by = _version_of(found)
    if unknown := sorted(name for name in found if name not in expected and name[0] in _our_apps()):
        news = joined([".".join(name) for name in unknown[:3]])
        return (
            f"this checkout is older than the server: its version is {here}, the server's database was made by {made_by} and has {news}, "
            "which is not known here. Bring this checkout to the server's version (git pull), and start again"
        )
    if missing := sorted(name for name in expected if name not in found):
        news = joined([".".join(name) for name in missing[:3]])
        return (
            f"this checkout is newer than the server: its version is {here}, the server's database was made by {made_by} and has "
            f"no {news}. Update the server first, or bring this checkout to the server's version"
        )
    return ""


def _version_of(found: Collection[tuple[str, str]]) -> str:
    """Of the code that made these tables."""
    if (Installation._meta.app_label, KEEPS_VERSION) not in found:
        return "an older one"
    return Installation.objects.values_list("version", flat=True).first() or "an unknown one"


@lru_cache(maxsize=1)
def _known_migrations() -> frozenset[tuple[str, str]]:
    loader = MigrationLoader(None)
    replaced = {old for migration in loader.disk_migrations.values() for old in migration.replaces}
    return frozenset(loader.disk_migrations) - replaced


@lru_cache(maxsize=1)
def _our_apps() -> frozenset[str]:
    return frozenset(app for app, _ in _known_migrations())


def _identify(data: Path) -> None:
    """The database has an id, made once, and the data folder, which is made where there is none, says the same."""
    create_data_folder(data)
    with transaction.atomic():
        row = Installation.objects.select_for_update().first() or Installation()
        row.version = code_version()
        row.save()
    if identity_in(data) != row.id:
        beside = data / f".{IDENTITY}.{os.getpid()}"
        beside.write_text(f"{row.id}\n")
        beside.chmod(0o644)
        beside.rename(data / IDENTITY)


def _let_workers_in(password: str) -> None:
    """A role that works on the rows of all tables there are, and can do nothing else."""
    role = sql.Identifier(WORKER_ROLE)
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [WORKER_ROLE])
        if cursor.fetchone() is None:
            cursor.execute(sql.SQL("CREATE ROLE {role} LOGIN").format(role=role))
        cursor.execute(
            sql.SQL("ALTER ROLE {role} PASSWORD {password}").format(role=role, password=sql.Literal(password))
        )
        for grant in _GRANTS:
            cursor.execute(sql.SQL(grant).format(role=role))


def has_pending_migrations() -> bool:
    """True when the code knows migrations that the database has not seen."""
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
