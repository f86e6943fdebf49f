"""Print the one command that has workers of another machine join."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError

from webapp.env import SetupError, add_data_option, gate
from webapp.system import instance
from webapp.system.invites import OF_STORE, Invite, seen_from_outside, through_gate
from webapp.system.models import Installation
from webapp.system.programs import EVERYWHERE, own_address
from webapp.system.status import code_version


class Command(BaseCommand):
    help = "Print the one command to type on another machine, whose workers then join this server. It is a secret. See docs/workers.md."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        add_data_option(parser)
        where = "where {} is seen from other machines, when DATABASE_URL and REDIS_URL name servers of your own"
        parser.add_argument("--database", default="", metavar="HOST:PORT", help=where.format("the database"))
        parser.add_argument("--redis", default="", metavar="HOST:PORT", help=where.format("the queue"))

    def handle(self, *args: Any, **options: Any) -> None:
        data = Path(settings.DATA_DIR)
        database, redis, site = self._addresses(data, options)
        try:
            row = Installation.objects.first()
        except DatabaseError as error:
            raise SetupError(f"the database does not answer: {' '.join(str(error).split())}") from error
        if row is None:
            raise SetupError("this database was never prepared: start Progeny once, or run ./progeny prepare")
        invite = Invite(
            database=database,
            redis=redis,
            data=str(data),
            identity=str(row.id),
            site=settings.PUBLIC_URL or site,
            version=code_version(),
            store=settings.STORE,
            environment={name: os.environ[name] for name in OF_STORE if settings.STORE and os.environ.get(name)},
        )
        self.stderr.write(
            f"Type this on the other machine, in a checkout of version {invite.version}. It is a secret: "
            "whoever has it reads and changes every run."
        )
        if not invite.store:
            self.stderr.write(
                f"No store is set, so {data} and the folders of the models must be mounted there at the same paths; "
                "or start the server with PROGENY_STORE."
            )
        self.stdout.write(f"./progeny join {invite.word()}")

    def _addresses(self, data: Path, options: dict[str, Any]) -> tuple[str, str, str]:
        """URLs of database, queue and site."""
        urls = [os.environ.get(name, "") for name in ("DATABASE_URL", "REDIS_URL")]
        own = ("", "")
        running = instance.find(data)
        if not all(urls):
            opened = gate(data)
            if opened is None or running is None or not running.workers_at:
                raise SetupError(
                    "nobody on another machine can reach the database here: start Progeny by ./progeny up --workers-at ADDRESS, an address "
                    "of this machine in a private network, and ask again while it runs"
                )
            own = through_gate(opened, own_address() if running.workers_at in EVERYWHERE else running.workers_at)
        found = [
            seen_from_outside(url, f"--{name}", options[name]) if url else through
            for name, url, through in zip(("database", "redis"), urls, own, strict=True)
        ]
        return found[0], found[1], running.url if running else ""
