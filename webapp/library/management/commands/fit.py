"""`./progeny fit A B`: whether models can be merged, without reading a weight. What it says is found out in `merging/fit.py`.

Exit code 1 when something bars the merge.
"""

from __future__ import annotations

import shutil
import textwrap
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError

from merging.errors import MergingError
from merging.fingerprints import UNREAD
from merging.fit import Fit, Level, Row, fit
from merging.methods import methods
from merging.recipes import TOKENIZERS, Parent
from webapp.exports.folders import folder_of

WORDS: Final[dict[Level, str]] = {"error": "ERROR", "warning": "WARN", "info": "INFO"}
MAX_WIDTH: Final = 100


class Command(BaseCommand):
    help = "Say whether models can be merged with each other, from their configurations, headers and tokenizers alone."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("parents", nargs="+", metavar="MODEL", help="a folder, or a name on the Models page")
        parser.add_argument("--base", metavar="MODEL", help="the base model")
        parser.add_argument("--method", choices=methods.names(), help="the method that is to merge them")
        parser.add_argument(
            "--tokenizer", choices=TOKENIZERS, default="same", help="whose tokenizer the result has (same)"
        )
        parser.add_argument(
            "--path", action="store_true", help="for a path through their layers: embeddings and head are the first's"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = fit(
                [_model(name) for name in options["parents"]],
                _model(options["base"]) if options["base"] else None,
                methods.get(options["method"]) if options["method"] else None,
                options["tokenizer"],
                is_path=options["path"],
            )
        except (MergingError, OSError) as error:
            raise CommandError(str(error)) from error
        for line in _lines(found):
            self.stdout.write(line)
        if found.errors:
            raise CommandError(found.sentence)
        self.stdout.write(found.sentence)


def _model(name: str) -> Parent:
    return Parent(name, str(folder_of(name)), UNREAD)


def _lines(found: Fit) -> Iterator[str]:
    """The findings with their remedies, then a table of what differs."""
    width = min(MAX_WIDTH, shutil.get_terminal_size().columns)
    for finding in found.findings:
        yield from _wrapped(f"{finding.found}.", f"{WORDS[finding.level]:<7}", width)
        expected = "" if finding.level == "info" else f"Expected: {finding.expected}. "
        yield from _wrapped(expected + finding.remedy, " " * 7, width)
    if rows := [row for row in found.table if row.differs]:
        yield from ("", *_table([Row("", found.models), *rows]), "")


def _wrapped(text: str, label: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=label, subsequent_indent=" " * len(label))


def _table(rows: list[Row]) -> Iterator[str]:
    cells = [(row.name, *row.values) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
