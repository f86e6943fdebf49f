"""The web server alone, for services that are run by somebody else: containers, systemd."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from webapp.env import add_data_option
from webapp.system import servers
from webapp.system.instance import check_restored
from webapp.system.programs import Address, web_command


class Command(BaseCommand):
    help = "Run the web server alone, with DATABASE_URL and REDIS_URL. `up` runs it by itself."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        add_data_option(parser)
        parser.add_argument("--port", type=int, default=8000, metavar="N")
        parser.add_argument("--host", default="127.0.0.1", metavar="H")

    def handle(self, *args: Any, **options: Any) -> None:
        address = Address(options["host"], options["port"])
        check_restored(settings.DATA_DIR)
        address.check_free()
        self.stderr.write(f"Data folder: {settings.DATA_DIR}")
        servers.check_at_start(self.stderr.write)
        web_command(address).become()
