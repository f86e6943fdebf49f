"""The way in which runs are computed, as a number: whoever does not know a run's number does not touch it.

Raise CURRENT with a change after which the same rows lead to other candidates, other scores or other states; keep in KNOWN what this
code still computes as it was. A way to compute that only some runs have chosen has a number of its own, and theirs alone.
"""

from __future__ import annotations

from typing import Final

from django.db.models import Exists, Q, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Now

from webapp.runs.config import RunConfig
from webapp.runs.models import CLAIMABLE, Run
from webapp.system.models import Worker
from webapp.system.status import ALIVE

CURRENT: Final = 1
STEADY: Final = 2
"""Of runs in steady state."""
KNOWN: Final = (1, 2)


def of(config: RunConfig) -> int:
    """The number of a run that is launched with this configuration."""
    return STEADY if config.steady else CURRENT


def known_to_nobody(run: Run) -> Q | Combinable:
    """Whether workers report, the run has work, and none of them may take it: for a query that asks more of it."""
    if run.state not in CLAIMABLE:
        return Value(False)
    alive = Worker.objects.filter(stopped=None, seen__gt=Now() - ALIVE)
    return Q(Exists(alive)) & ~Q(Exists(alive.filter(algo_versions__contains=[run.algo_version])))
