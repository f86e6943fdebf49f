"""Invitations: made once, shown once, found again by their hash, and gone when an account was made with one."""

from __future__ import annotations

import secrets
from datetime import timedelta
from hashlib import sha256
from typing import Final

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from webapp.accounts.models import Invite
from webapp.accounts.roles import Role, set_role

N_BYTES: Final = 32
GOOD_FOR: Final = timedelta(days=7)


def make(admin: User, role: Role) -> str:
    """The secret part of a new address, which nobody sees again. Those that have expired go."""
    Invite.objects.filter(expires__lte=Now()).delete()
    key = secrets.token_urlsafe(N_BYTES)
    Invite.objects.create(digest=_digest(key), role=role, made_by=admin, expires=timezone.now() + GOOD_FOR)
    return key


def valid(key: str) -> QuerySet[Invite]:
    """The invitation with this key, if it is good; one of somebody who looks after the server no more is not."""
    return Invite.objects.filter(
        digest=_digest(key), expires__gt=Now(), made_by__is_staff=True, made_by__is_active=True
    )


@transaction.atomic
def accept(key: str, username: str, password: str) -> User | None:
    """The account; None when another was made with it meanwhile. IntegrityError for a name that is taken, and the invitation stays."""
    found = valid(key).select_for_update(of=("self",)).first()
    if found is None:
        return None
    user = User.objects.create_user(username, password=password)
    set_role(user, found.role)  # type: ignore[arg-type]  # the database knows no others
    found.delete()
    return user


def _digest(key: str) -> str:
    return sha256(key.encode(errors="replace")).hexdigest()
