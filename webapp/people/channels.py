"""Where somebody's notices go besides the bell: to an address by a signed request, or to a mailbox. What is to be told is found in the
rows themselves, once for every channel; workers carry it out.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Final

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from webapp.accounts.sealing import seal
from webapp.people import happenings
from webapp.people.models import Channel, ChannelKind, Delivery
from webapp.quotas import QuotaError, hold

N_BYTES: Final = 32
MAX_CHANNELS: Final = 5
RECENT: Final = timedelta(days=1)
"""What is older is no news, however long no worker was there."""
TEST: Final = "test"
PAUSED: Final = "paused"
MOMENT: Final = "%Y%m%d%H%M%S"
"""A run may pause more than once: when it did is told with it."""


@transaction.atomic
def add(owner: User, kind: ChannelKind, target: str) -> tuple[Channel, str]:
    """The channel, and the secret that signs what goes to an address, which nobody sees again. QuotaError where one has enough."""
    hold(owner)
    if Channel.objects.filter(owner=owner).count() >= MAX_CHANNELS:
        raise QuotaError(f"{MAX_CHANNELS} are all that one may have: remove one")
    secret = secrets.token_hex(N_BYTES)
    return Channel.objects.create(owner=owner, kind=kind, target=target, secret=seal(secret)), secret


def ask_for_test(channel: Channel) -> None:
    """Have something sent, to see whether it arrives."""
    Delivery.objects.create(channel=channel, about=TEST, key=secrets.token_hex(8), what=TEST)


def fill() -> int:
    """Note down for every channel what happened since it was added and is not noted yet; how much that was. Anybody may, at any time."""
    found = [delivery for channel in Channel.objects.all() for delivery in _news(channel)]
    Delivery.objects.bulk_create(found, ignore_conflicts=True)
    return len(found)


def fail(held: QuerySet[Delivery], kind: str, sentence: str) -> None:
    """It was not told, and why."""
    held.update(status="failed", failure_kind=kind, failure=sentence, finished=Now(), lease_until=None)


def _news(channel: Channel) -> list[Delivery]:
    noted = set(
        Delivery.objects.filter(channel=channel, created__gt=Now() - 2 * RECENT).values_list("about", "key", "what")
    )
    owner, since = channel.owner_id, channel.created
    ended = happenings.ended(owner).filter(ended__gt=Now() - RECENT)
    exported = happenings.exported(owner).filter(finished__gt=Now() - RECENT)
    happened = [
        *(("run", str(pk), state) for pk, state in ended.filter(ended__gt=since).values_list("pk", "state")),
        *(
            ("run", str(pk), f"{PAUSED} {at:{MOMENT}}")
            for pk, at in happenings.paused(owner).filter(at__gt=since).values_list("pk", "at")
        ),
        *(
            ("export", str(pk), status)
            for pk, status in exported.filter(finished__gt=since).values_list("pk", "status")
        ),
    ]
    return [
        Delivery(channel=channel, about=about, key=key, what=what)
        for about, key, what in happened
        if (about, key, what) not in noted
    ]
