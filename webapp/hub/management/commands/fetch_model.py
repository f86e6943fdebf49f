"""`manage.py fetch_model --request ID TOKEN`: what a worker starts for a request of the page to fetch a model."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from webapp.hub import downloads


class Command(BaseCommand):
    help = "Carry out a request to fetch a model; for workers."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--request", type=int, nargs=2, metavar=("ID", "TOKEN"), required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        downloads.carry_out(*options["request"])
