"""The first user. While nobody can sign in, a one-time link leads to the page that makes one; then it is worth nothing.

The link is signed with the installation's secret, so only who reads it at the terminal where Progeny was started can use it.
"""

from __future__ import annotations

from typing import Final

from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import User
from django.core.signing import BadSignature, TimestampSigner
from django.db import connection, transaction
from django.urls import reverse

MAX_AGE_SECONDS: Final = 7 * 86400
LOCAL_USER: Final = "local"
_SUBJECT: Final = "first user"
_signer = TimestampSigner(salt="webapp.accounts.setup")


def nobody_can_sign_in() -> bool:
    """True until the first active user with a password exists."""
    return not User.objects.filter(is_active=True).exclude(password__startswith=UNUSABLE_PASSWORD_PREFIX).exists()


def setup_path() -> str | None:
    """The path of the one-time link, or None when somebody can sign in already."""
    if not nobody_can_sign_in():
        return None
    return reverse("accounts:setup", args=[_signer.sign(_SUBJECT).removeprefix(f"{_SUBJECT}:")])


def is_valid(token: str) -> bool:
    """Whether this link was made by this installation within the last week, and nobody can sign in yet."""
    try:
        _signer.unsign(f"{_SUBJECT}:{token}", max_age=MAX_AGE_SECONDS)
    except BadSignature:
        return False
    return nobody_can_sign_in()


@transaction.atomic
def create_first_user(username: str, password: str) -> User | None:
    """The user who looks after this installation, and owns what was run from its terminal before. None when another was first."""
    _lock()
    if not nobody_can_sign_in():
        return None
    user = _without_password() or User(is_staff=True, is_superuser=True)
    user.username = username
    user.set_password(password)
    user.save()
    return user


@transaction.atomic
def local_user() -> User:
    """Who owns what is run from the terminal: the one who looks after this installation; without a password until the set-up."""
    _lock()
    user = User.objects.filter(is_active=True, is_superuser=True).order_by("pk").first()
    return user or User.objects.create_user(LOCAL_USER, is_staff=True, is_superuser=True)


def _without_password() -> User | None:
    return User.objects.filter(is_superuser=True, password__startswith=UNUSABLE_PASSWORD_PREFIX).order_by("pk").first()


def _lock() -> None:
    """Two at once must not both be first."""
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE auth_user IN SHARE ROW EXCLUSIVE MODE")
