"""`./progeny account NAME`: an account for one more person, with whom runs can be shared then."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from getpass import getpass
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.db import IntegrityError, transaction

from webapp.accounts.forms import FirstUserForm
from webapp.accounts.roles import set_role
from webapp.env import add_data_option
from webapp.system.services import ensure_services


class Command(BaseCommand):
    help = "Add an account. The password is asked for twice, or read from the first line of a pipe; its owner can change it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_data_option(parser)
        parser.add_argument("name", metavar="NAME")
        parser.add_argument("--staff", action="store_true", help="may register folders of the server, for everybody")
        parser.add_argument("--viewer", action="store_true", help="sees what is shared with them, and changes nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["staff"] and options["viewer"]:
            raise CommandError("an account is either staff or a viewer: choose one")
        with ensure_services(self.stderr.write):  # first: whoever types a password knows where the account will be
            form = FirstUserForm({"username": options["name"], "password": _password()})
            if not form.is_valid():
                raise CommandError(" ".join(str(error) for errors in form.errors.values() for error in errors))
            try:
                with transaction.atomic():
                    user = User.objects.create_user(**form.cleaned_data)
                    set_role(user, "admin" if options["staff"] else "viewer" if options["viewer"] else "member")
            except IntegrityError as error:
                raise CommandError(f"{options['name']} has an account already") from error
        self.stdout.write(f"{options['name']} can sign in now.")


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass("Password: ")
    if getpass("The same again: ") != password:
        raise CommandError("These were two different passwords: no account was made")
    return password
