"""Signing in and out, and being refused, are told as they happen."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver

from webapp.people.deeds import Deed
from webapp.people.subjects import account
from webapp.people.trail import write

IN: Final = Deed("signed in to")
OUT: Final = Deed("signed out of")
REFUSED: Final = Deed("was refused at")


@receiver(user_logged_in)
def told_in(user: User, **words: Any) -> None:
    write(user, IN, account(user))


@receiver(user_logged_out)
def told_out(user: User | None, **words: Any) -> None:
    if user:
        write(user, OUT, account(user))


@receiver(user_login_failed)
def told_refused(credentials: dict[str, Any], **words: Any) -> None:
    """Of an account that there is: what else was typed as a name may be a password."""
    if user := User.objects.filter(username=str(credentials.get("username", "")).replace("\0", "")).first():
        write(user, REFUSED, account(user))
