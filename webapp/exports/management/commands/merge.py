"""`./progeny merge RECIPE OUT`: one recipe becomes a model folder. What it does is in `merging/__main__.py`; here models have names.

`manage.py` calls that program at once, and Django is set up only for a name that is in the library.
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import django
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from merging import __main__ as program
from merging.demo import BASE, EXPERTS, PACK
from merging.errors import MergingError, ParentError


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


def folder_of(name: str) -> Path:
    """A folder, a bundled model, or one of the library; ParentError when the name is none of these."""
    bundled = {f"demo/{skill}": PACK / skill for skill in (BASE, *EXPERTS)}
    if Path(name).is_dir():
        return Path(name).absolute()
    return bundled[name] if name in bundled else _in_library(name)


def _in_library(name: str) -> Path:
    django.setup()
    from webapp.accounts.setup import local_user
    from webapp.library.models import Parent
    from webapp.system.services import ensure_services

    with ensure_services(Console(stderr=True).print):
        row = Parent.objects.visible_to(local_user()).filter(name=name).first()
    if row is None:
        raise ParentError(f"there is no model {name!r}: expected a folder, or a name on the Models page")
    return Path(row.folder)
