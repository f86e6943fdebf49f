"""The archive: ended runs that their owner does not want to see on the list any more. Nothing else of them changes."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models.functions import Now

from webapp.runs.models import ENDED
from webapp.sharing.access import owned_by


def put_away(user: User, run_ids: Collection[UUID]) -> int:
    """Archive those of these runs that this person owns and that have ended. How many."""
    chosen = owned_by(user).filter(pk__in=run_ids, state__in=ENDED, archived_at=None)
    return chosen.update(archived_at=Now())


def take_back(user: User, run_ids: Collection[UUID]) -> int:
    """Put this person's runs back on the list. How many."""
    return owned_by(user).filter(pk__in=run_ids, archived_at__isnull=False).update(archived_at=None)
