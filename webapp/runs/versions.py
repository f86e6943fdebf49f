"""The way in which runs are computed, as a number: whoever does not know a run's number does not touch it.

Raise CURRENT with a change after which the same rows lead to other candidates, other scores or other states; keep in KNOWN what this
code still computes as it was.
"""

from __future__ import annotations

from typing import Final

from django.db.models import Exists, Q, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Now

from webapp.runs.models import CLAIMABLE, Run
from webapp.system.models import Worker
from webapp.system.status import ALIVE

CURRENT: Final = 1
KNOWN: Final = (1,)


def known_to_nobody(run: Run) -> Q | Combinable:
    """Whether workers report, the run has work, and none of them may take it: for a query that asks more of it."""
    if run.state not in CLAIMABLE:
        return Value(False)
    alive = Worker.objects.filter(stopped=None, seen__gt=Now() - ALIVE)
    return Q(Exists(alive)) & ~Q(Exists(alive.filter(algo_versions__contains=[run.algo_version])))
