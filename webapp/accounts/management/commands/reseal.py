"""`./progeny reseal`: after PROGENY_SECRET_KEY was replaced, seal what the old keys have sealed with the new one."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from webapp.accounts.models import HubToken
from webapp.accounts.sealing import SealError, resealed
from webapp.env import add_data_option
from webapp.system.services import ensure_services


class Command(BaseCommand):
    help = "Seal Hub tokens with the newest secret key; afterwards PROGENY_OLD_SECRET_KEYS can be emptied."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_data_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        with ensure_services(self.stderr.write):
            lost = [kept.pk for kept in HubToken.objects.all() if not _reseal(kept)]
        if lost:
            raise CommandError(
                f"{len(lost)} tokens do not open with any key: give the key that sealed them in PROGENY_OLD_SECRET_KEYS, "
                "or let their owners enter them again"
            )
        self.stdout.write("Every token is sealed with the newest key; the old ones are not needed any more.")


def _reseal(kept: HubToken) -> bool:
    """False for one that does not open. One that its owner has replaced in the meantime stays as it is."""
    try:
        fresh = resealed(kept.sealed)
    except SealError:
        return False
    HubToken.objects.filter(pk=kept.pk, sealed=kept.sealed).update(sealed=fresh)
    return True
