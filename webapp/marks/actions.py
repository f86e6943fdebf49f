"""What people do with marks. Each may be asked for twice: the second time nothing changes."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib.auth.models import User
from django.db.models.functions import Now

from webapp.marks.models import Mark
from webapp.runs.models import Candidate


def star(candidate: Candidate, person: User, is_starred: bool) -> None:
    """Give a candidate this person's star, or take it back."""
    if is_starred:
        _write(candidate, person, is_starred=True)
        return
    mine = Mark.objects.filter(candidate=candidate, owner=person)
    mine.filter(note="", tags=[]).delete()
    mine.update(is_starred=False, changed=Now())


def annotate(candidate: Candidate, person: User, note: str, tags: Sequence[str]) -> None:
    """Replace this person's note and tags on a candidate."""
    if note or tags:
        _write(candidate, person, note=note, tags=list(tags))
        return
    mine = Mark.objects.filter(candidate=candidate, owner=person)
    mine.filter(is_starred=False).delete()
    mine.update(note="", tags=[], changed=Now())


def _write(candidate: Candidate, person: User, **values: object) -> None:
    Mark.objects.update_or_create(candidate=candidate, owner=person, defaults={**values, "changed": Now()})
