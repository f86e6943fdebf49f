"""`./progeny reproduce BUNDLE OUT`: the model of a run bundle anew, compared with what the bundle says of it."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from merging import __main__ as program
from merging.errors import MergingError
from merging.exports import RECIPE
from merging.folders import sha256_of
from merging.words import counted
from webapp.exports.folders import folder_of
from webapp.exports.papers import EXPECTED


class Command(BaseCommand):
    help = "Build the model of a run bundle anew, and compare every file with what the bundle says of it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("bundle", type=Path, help="the folder of a run bundle, unpacked")
        parser.add_argument("out", type=Path, help="the folder to make; it must not exist")

    def handle(self, *args: Any, **options: Any) -> None:
        bundle, out = options["bundle"], options["out"]
        try:
            self.stdout.write(program.merge(bundle / RECIPE, out, 0, folder_of))
            self.stdout.write(_compared(bundle / EXPECTED, out))
        except (MergingError, OSError) as error:
            raise CommandError(str(error)) from error


def _compared(expected: Path, out: Path) -> str:
    """That all files are the same; CommandError names those that are not."""
    if not expected.is_file():
        return f"The bundle has no {EXPECTED}: the model was not built when it was made, so there is nothing to compare with."
    listed = [line.split("  ", 1) for line in expected.read_text("utf-8").splitlines()]
    differing = [name for sha256, name in listed if not (out / name).is_file() or sha256_of(out / name) != sha256]
    if differing:
        raise CommandError(f"{out} differs from what the bundle says: {', '.join(differing)}")
    return f"{counted(len(listed), 'file')} are the same to the byte."
