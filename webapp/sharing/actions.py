"""What owners do with their runs' people. Open pages of somebody who may no longer see a run hear of it within a tick of their sockets."""

from __future__ import annotations

from django.contrib.auth.models import User

from webapp.runs.models import Run
from webapp.sharing.models import Role, Share


def share(run: Run, person: User, role: Role) -> Share:
    """Give somebody a role in a run; another than before, if they had one."""
    return Share.objects.update_or_create(run=run, user=person, defaults={"role": role})[0]
