"""Brings the database to what this version of the code expects: tables and the bundled parents and benchmark."""

from __future__ import annotations

from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

from webapp.env import SetupError
from webapp.library.actions import install_demo_pack


def prepare_database() -> None:
    """Do what is missing. The second time there is nothing to do."""
    try:
        if has_pending_migrations():
            call_command("migrate", interactive=False, verbosity=0)
    except OperationalError as error:
        raise SetupError(f"the database does not answer: {' '.join(str(error).split())}") from error
    install_demo_pack()


def has_pending_migrations() -> bool:
    """True when the code knows migrations that the database has not seen."""
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
