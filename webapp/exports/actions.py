"""What people do with exports: ask for one, and ask again for one that failed."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import transaction

from webapp.exports.models import Export
from webapp.queue import wake
from webapp.runs.models import Candidate


@transaction.atomic
def request_export(owner: User, candidate: Candidate) -> Export:
    """The export of a candidate, made now if there is none; one that failed is made anew. Workers are woken after the commit."""
    Export.objects.filter(candidate=candidate, status="failed").delete()
    export, is_new = Export.objects.get_or_create(candidate=candidate, defaults={"owner": owner})
    if is_new:
        transaction.on_commit(lambda: wake(candidate.run_id))
    return export
