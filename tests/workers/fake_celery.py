"""The real Celery application with a fake device: `celery -A tests.workers.fake_celery worker`. FAKE_PLAN names the device's plan."""

from __future__ import annotations

import os
from pathlib import Path

from tests.workers import fake_worker
from workers import celery

celery.DEVICE_COMMAND = fake_worker.command(Path(os.environ["FAKE_PLAN"]))  # type: ignore[misc]
app = celery.app
