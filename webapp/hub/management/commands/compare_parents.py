"""`manage.py compare_parents --request ID TOKEN`: what a worker starts for a request of the page to compare two models' task vectors."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from webapp.hub import similarities


class Command(BaseCommand):
    help = "Carry out a request to compare two models; for workers."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--request", type=int, nargs=2, metavar=("ID", "TOKEN"), required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        similarities.carry_out(*options["request"])
