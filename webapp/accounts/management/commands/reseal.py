"""`./progeny reseal`: after PROGENY_SECRET_KEY was replaced, seal what the old keys have sealed with the new one."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Model

from webapp.accounts.models import HubToken
from webapp.accounts.sealing import SealError, resealed
from webapp.env import add_data_option
from webapp.people.models import Channel
from webapp.system.services import ensure_services

SEALED: Final[dict[str, tuple[type[Model], str]]] = {
    "tokens": (HubToken, "sealed"),
    "secrets of channels": (Channel, "secret"),
}
"""Every column that `sealing` writes."""


class Command(BaseCommand):
    help = "Seal Hub tokens and secrets of channels with the newest secret key; afterwards PROGENY_OLD_SECRET_KEYS can be emptied."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_data_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        with ensure_services(self.stderr.write):
            n_lost = {words: _n_lost(rows, column) for words, (rows, column) in SEALED.items()}
        if lost := [f"{n} {words}" for words, n in n_lost.items() if n]:
            raise CommandError(
                f"{' and '.join(lost)} do not open with any key: give the key that sealed them in PROGENY_OLD_SECRET_KEYS, "
                "or let their owners enter them again"
            )
        self.stdout.write("Every token is sealed with the newest key; the old ones are not needed any more.")


def _n_lost(rows: type[Model], column: str) -> int:
    """Reseals a column; how many of it do not open. One that its owner has replaced in the meantime stays as it is."""
    n_lost = 0
    for pk, sealed in rows._default_manager.values_list("pk", column):
        try:
            rows._default_manager.filter(pk=pk, **{column: sealed}).update(**{column: resealed(sealed)})
        except SealError:
            n_lost += 1
    return n_lost
