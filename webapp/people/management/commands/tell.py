"""What a worker starts for a piece of news."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand

from webapp.people.delivering import carry_out


class Command(BaseCommand):
    help = "Tell a piece of news by mail or to an address; workers start it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--request", nargs=2, metavar=("ID", "TOKEN"), required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        delivery, token = options["request"]
        carry_out(UUID(delivery), int(token))
