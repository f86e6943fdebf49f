"""`manage.py bring KIND DIGEST NAME PATH`: what a worker on another host starts to get a model or questions that it lacks."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from webapp.store.errors import StoreError
from webapp.store.fetching import bring
from webapp.store.needs import Need


class Command(BaseCommand):
    help = "Get what a worker on another host needs into its data folder; for workers."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from-store", action="store_true", help="and not from the same path on this host")
        parser.add_argument("need", nargs=4, metavar=("KIND", "DIGEST", "NAME", "PATH"))

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            bring(Need(*options["need"]), Path(settings.DATA_DIR), settings.STORE, options["from_store"])
        except StoreError as error:
            sys.exit(str(error))
