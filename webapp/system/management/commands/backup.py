"""`./progeny backup FOLDER`: everything that must not be lost, as of one moment, while runs go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from webapp.system import backups
from webapp.system.services import ensure_services
from webapp.system.templatetags.figures import n_bytes


class Command(BaseCommand):
    help = "Copy the database, models for download, benchmarks and the key into a new folder. Runs go on meanwhile."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "folder", type=Path, help="is made, complete or not at all; keep it where only you can read it"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        folder = options["folder"].expanduser().absolute()
        with ensure_services(self.stderr.write):
            manifest = backups.take(folder)
        self.stdout.write(f"{folder}: {len(manifest.files)} files, {n_bytes(manifest.n_bytes)}")
