"""`manage.py stock --request ID TOKEN`: what a worker starts when a worker on another host asked for a model or questions."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from webapp.store import stocking


class Command(BaseCommand):
    help = "Put what a worker on another host needs into the store; for workers."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--request", type=int, nargs=2, metavar=("ID", "TOKEN"), required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        stocking.carry_out(*options["request"])
