"""Tokens: made once, shown once, found again by their hash."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import timedelta
from hashlib import sha256
from typing import Final

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from webapp.api.models import SCOPES, Scope, Token
from webapp.masking import OWN_PREFIX
from webapp.quotas import QuotaError, hold

N_BYTES: Final = 32
MAX_TOKENS: Final = 50
MINUTE: Final = timedelta(minutes=1)
MEANINGS: Final[dict[Scope, str]] = {
    "read": "See what you see, and download it",
    "runs": "Launch runs, and pause, resume, stop, rename and delete them",
    "exports": "Build models for download, and remove them",
}
"""What each scope allows."""


@transaction.atomic
def make(owner: User, name: str, scopes: Collection[Scope], days: int) -> tuple[Token, str]:
    """The row, and the token, which nobody sees again. Every token may read. QuotaError where one has as many as one may have."""
    hold(owner)
    if tokens_of(owner).count() >= MAX_TOKENS:
        raise QuotaError(f"{MAX_TOKENS} tokens are all that one may have: revoke one that you do not need")
    word = OWN_PREFIX + secrets.token_hex(N_BYTES)
    row = Token.objects.create(
        owner=owner,
        name=name,
        digest=_digest(word),
        scopes=[scope for scope in SCOPES if scope == "read" or scope in scopes],
        expires=timezone.now() + timedelta(days=days),
    )
    return row, word


def tokens_of(owner: User) -> QuerySet[Token]:
    """This person's tokens, newest first; for pages each says whether it has `expired`."""
    return Token.objects.filter(owner=owner).annotate(expired=Q(expires__lte=Now()))


def holder(word: str) -> Token | None:
    """The token with its owner; None for one that is unknown or has expired, and for one whose owner may not sign in any more."""
    valid = Token.objects.filter(digest=_digest(word), expires__gt=Now(), owner__is_active=True)
    found = valid.select_related("owner__viewer").first()
    if found and (found.used is None or found.used < timezone.now() - MINUTE):
        Token.objects.filter(pk=found.pk).update(used=Now())
    return found


def _digest(word: str) -> str:
    return sha256(word.encode()).hexdigest()
