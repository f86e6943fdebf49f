"""The queue as this side sees it: a wake-up goes out by the name of a task, to all workers. The tasks themselves live with them."""

from __future__ import annotations

import logging
from typing import Final
from uuid import UUID

from celery import Celery
from django.conf import settings
from kombu.exceptions import OperationalError

from webapp.runs.task_names import DRAIN

log = logging.getLogger(__name__)
queue: Final = Celery("webapp", set_as_current=False)  # a worker that imports this file keeps its own
queue.config_from_object("django.conf:settings", namespace="CELERY")
_EVERYBODY: Final = settings.CELERY_TASK_QUEUES[0].exchange
"""Sent with every message: who has not said of what kind it is would send to nobody."""


def wake(run_id: UUID | None = None) -> None:
    """Tell workers that there may be work, of this run or of none. Without a broker they find it by themselves a little later."""
    try:
        queue.send_task(DRAIN, [str(run_id)] if run_id else [], declare=[_EVERYBODY], retry=False)
    except (OperationalError, OSError) as error:
        log.warning("no wake-up for %s: %s", f"run {run_id}" if run_id else "whatever there is", error)
