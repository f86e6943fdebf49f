"""`./progeny merge RECIPE OUT`: one recipe becomes a model folder. What it does is in `merging/__main__.py`; here models have names.

`manage.py` calls that program at once.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from merging import __main__ as program
from merging.errors import MergingError
from webapp.exports.folders import folder_of


class Command(BaseCommand):
    help = program.DESCRIPTION
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        program.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.stdout.write(program.merge(options["recipe"], options["out"], options["seed"], folder_of))
        except (MergingError, OSError) as error:
            raise CommandError(str(error)) from error
