"""Refusing a user more than settings.QUOTAS grants.

What counts against a limit is counted while the user's row is held, in the transaction that takes it: of two who ask at once for
the last place, one gets it.
"""

from __future__ import annotations

from django.contrib.auth.models import User

from merging.errors import MergingError


class QuotaError(MergingError):
    """One more than this installation grants a user. The message says what to do."""


def hold(owner: User) -> None:
    """Until the transaction ends, nobody else takes anything for this user."""
    User.objects.select_for_update(no_key=True).get(pk=owner.pk)
