"""Bring the database to what this version expects; then say where to sign in for the first time."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from webapp.accounts.setup import setup_path
from webapp.system import servers
from webapp.system.database import prepare_database


class Command(BaseCommand):
    help = "Make the tables, install the demo pack, and say how to sign in for the first time. `up` does it by itself."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        prepare_database()
        servers.check_at_start(self.stdout.write)
        if path := setup_path():
            self.stdout.write(f"Make the first account at {settings.PUBLIC_URL or 'http://localhost:8000'}{path}")
