"""Forms of new runs that are kept while they are filled in: each person's own, a few at most."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.utils.datastructures import MultiValueDict

from merging.errors import MergingError
from webapp.runs.models import RunDraft

MAX_DRAFTS: Final = 5
"""For each person; a new one takes the place of the oldest."""
MAX_BYTES: Final = 256 * 1024
"""Of one, as JSON: a thousand benchmarks with four numbers each are 100 kB."""
Sent = Mapping[str, Sequence[str]]


class DraftTooLargeError(MergingError):
    """More than a form has."""


def drafts_of(user: User) -> QuerySet[RunDraft]:
    """This person's drafts, the latest first."""
    return RunDraft.objects.filter(owner=user)


def keep(user: User, key: str, sent: Sent, notes: Iterable[str] = ()) -> RunDraft:
    """Keep what was sent in place of what this form sent before; notes stay. DraftTooLargeError for more than a form has."""
    data = {_storable(name): [_storable(value) for value in values] for name, values in sent.items()}
    if (size := len(json.dumps(data))) > MAX_BYTES:
        raise DraftTooLargeError(f"the draft has {size} bytes; expected at most {MAX_BYTES}")
    first = {"data": data, "notes": [_storable(note) for note in notes]}
    row, _ = RunDraft.objects.update_or_create(owner=user, key=key, defaults={"data": data}, create_defaults=first)
    kept = drafts_of(user).values("pk")[:MAX_DRAFTS]
    drafts_of(user).exclude(pk__in=[draft["pk"] for draft in kept]).delete()
    return row


def forget(user: User, key: str) -> None:
    """Remove the draft of a form that was launched or is not wanted."""
    drafts_of(user).filter(key=key).delete()


def sent_of(draft: RunDraft) -> MultiValueDict[str, str]:
    """What the form had sent."""
    return MultiValueDict(draft.data)


def _storable(text: str) -> str:
    return text.replace("\0", "")
