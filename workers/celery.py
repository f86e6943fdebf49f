"""The Celery application: it runs the worker process, carries wake-ups and holds nothing.

    celery -A workers worker --pool threads --concurrency 1 -n NAME@%h

Messages are JSON and hold ids at most. Each is heard by every worker, busy ones too, and handled at once. They may be lost, doubled or
late: the ledger does not mind.
"""

from __future__ import annotations

import logging.config
import os
import sys
from typing import Any, Final

from celery import Celery, bootsteps
from celery.signals import celeryd_init, setup_logging, worker_shutting_down
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")

DEVICE_COMMAND: Final = (sys.executable, "-m", "workers.devices")

app = Celery("progeny", include=["workers.tasks"])
app.config_from_object("django.conf:settings", namespace="CELERY")


class SupervisorStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Ties the supervisor's life to the worker's. It starts early: the device is to be warm at the first wake-up."""

    requires = ("celery.worker.components:Pool",)

    def start(self, worker: Any) -> None:
        """The device begins to load."""
        from workers import tasks
        from workers.supervisor import Supervisor

        self._supervisor = tasks.supervisor = Supervisor(worker.hostname, DEVICE_COMMAND)
        worker_shutting_down.connect(self._told_to_end)
        self._supervisor.start()

    def stop(self, worker: Any) -> None:
        """The current work is finished or given back."""
        self._supervisor.stop()

    def _told_to_end(self, **_: object) -> None:
        self._supervisor.stop_claiming()


@celeryd_init.connect  # type: ignore[untyped-decorator]
@setup_logging.connect  # type: ignore[untyped-decorator]
def write_records_as_the_web_server_does(**_: object) -> None:
    """From the first warning on. Celery leaves its own way of writing them when somebody listens to the second signal."""
    logging.config.dictConfig(settings.LOGGING)
    logging.captureWarnings(True)


app.steps["worker"].add(SupervisorStep)
