"""`./progeny restore FOLDER`: a backup in place of what is here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from webapp.env import SetupError, add_data_option
from webapp.system import backups, instance
from webapp.system.services import ensure_services


class Command(BaseCommand):
    help = "Put a backup in place of the database, models for download and benchmarks. Refused where there are runs."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        add_data_option(parser)
        parser.add_argument("folder", type=Path, help="what ./progeny backup made")
        parser.add_argument(
            "--over", action="store_true", help="lose the runs, models and benchmarks that are here now"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        found = instance.find(settings.DATA_DIR)
        if found and found.url:
            raise SetupError(f"Progeny runs on {settings.DATA_DIR}: stop it first")
        with ensure_services(self.stderr.write):
            manifest = backups.restore(options["folder"].expanduser().absolute(), options["over"])
        self.stdout.write(f"Restored what was there on {manifest.taken}. See what differs with ./progeny fsck")
        if manifest.data_folder != str(settings.DATA_DIR):
            self.stdout.write(
                f"It was made in {manifest.data_folder}, where runs look for their questions and built models: "
                f"let that be a link to {settings.DATA_DIR}, or restore there"
            )
