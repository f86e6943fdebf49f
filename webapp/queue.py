"""The queue as this side sees it: a wake-up goes out by the name of a task. The tasks themselves live with the workers."""

from __future__ import annotations

import logging
from typing import Final
from uuid import UUID

from celery import Celery
from kombu.exceptions import OperationalError

from webapp.runs.task_names import DRAIN

log = logging.getLogger(__name__)
queue: Final = Celery("webapp", set_as_current=False)  # a worker that imports this file keeps its own
queue.config_from_object("django.conf:settings", namespace="CELERY")


def wake(run_id: UUID | None = None) -> None:
    """Tell idle workers that there may be work, of this run or of none. Without a broker they find it by themselves a little later."""
    try:
        queue.send_task(DRAIN, [str(run_id)] if run_id else [], retry=False)
    except (OperationalError, OSError) as error:
        log.warning("no wake-up for %s: %s", f"run {run_id}" if run_id else "a trial", error)
