"""Where a run's parents come from, as far as they were bred here. Reads rows only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.contrib.auth.models import User

from webapp.lineage.models import Adoption
from webapp.runs.models import Candidate


def origins(fingerprints: Iterable[str], seen_by: User | None = None) -> Mapping[str, Candidate]:
    """The candidate that each parent was, by its fingerprint, with its run; parents from elsewhere are left out.

    With `seen_by` only those whose run this person may open.
    """
    found = Adoption.objects.filter(parent__fingerprint__in=list(fingerprints))
    if seen_by is not None:
        found = found.filter(candidate__run__owner=seen_by, candidate__run__deleted_at=None)
    rows = found.select_related("candidate__run", "parent").defer("candidate__recipe", "candidate__genome")
    return {row.parent.fingerprint: row.candidate for row in rows if row.parent}
