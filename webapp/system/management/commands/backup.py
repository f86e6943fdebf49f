"""`./progeny backup FOLDER`: everything that must not be lost, as of one moment, while runs go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandParser

from webapp.env import SetupError, add_data_option
from webapp.system import backups
from webapp.system.services import ensure_services
from webapp.system.templatetags.figures import n_bytes


class Command(BaseCommand):
    help = "Copy the database, models for download, benchmarks and the key into a new folder. Runs go on meanwhile."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        add_data_option(parser)
        parser.add_argument(
            "folder", type=Path, help="is made, complete or not at all; keep it where only you can read it"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        folder = options["folder"].expanduser().absolute()
        with ensure_services(self.stderr.write):
            if not User.objects.exists():
                raise SetupError(
                    f"there is nothing to back up in {settings.DATA_DIR}: it has no account; --data DIR or PROGENY_DATA says where"
                )
            manifest = backups.take(folder)
        self.stdout.write(f"{folder}: {len(manifest.files)} files, {n_bytes(manifest.n_bytes)}")
