"""A user's token of the Hugging Face Hub: kept sealed, opened only where the Hub is asked in its owner's name."""

from __future__ import annotations

import logging

from django.contrib.auth.models import User

from webapp.accounts.models import HubToken
from webapp.accounts.sealing import SealError, opened, seal

N_SHOWN = 4
log = logging.getLogger(__name__)


def keep_token(owner: User, token: str) -> HubToken:
    """Keep it instead of the one before."""
    kept, _ = HubToken.objects.update_or_create(
        owner=owner, defaults={"sealed": seal(token), "ending": token[-N_SHOWN:]}
    )
    return kept


def token_of(owner: User) -> str | None:
    """The token itself; None when there is none, or none that opens."""
    kept = HubToken.objects.filter(owner=owner).first()
    try:
        return opened(kept.sealed) if kept else None
    except SealError as error:
        log.warning("the Hub token of user %d cannot be used: it is %s", owner.pk, error)
        return None
