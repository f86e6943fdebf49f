"""The way in which runs are computed, as a number: whoever does not know a run's number does not touch it.

Raise CURRENT with a change after which the same rows lead to other candidates, other scores or other states; keep in KNOWN what this
code still computes as it was.
"""

from __future__ import annotations

from typing import Final

from django.db.models.functions import Now

from webapp.runs.models import CLAIMABLE, Run
from webapp.system.models import Worker
from webapp.system.status import ALIVE

CURRENT: Final = 1
KNOWN: Final = (1,)


def is_known_to_nobody(run: Run) -> bool:
    """Whether workers report, the run has work, and none of them may take it."""
    if run.state not in CLAIMABLE:
        return False
    alive = Worker.objects.filter(stopped=None, seen__gt=Now() - ALIVE).values_list("algo_versions", flat=True)
    known = list(alive)
    return bool(known) and not any(run.algo_version in versions for versions in known)
