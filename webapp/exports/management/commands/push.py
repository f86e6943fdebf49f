"""What a worker starts for a push to the Hub."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand

from webapp.exports.pushing import carry_out


class Command(BaseCommand):
    help = "Carry out a push to the Hub that a page has asked for; workers start it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--request", nargs=2, metavar=("ID", "TOKEN"), required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        push, token = options["request"]
        carry_out(UUID(push), int(token))
