"""A worker process with a fake device and short leases. Ends at SIGTERM.

python -m tests.workers.fake_worker NAME PLAN
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import django

LEASE = timedelta(seconds=2)


def command(plan: Path) -> tuple[str, ...]:
    """The fake device's."""
    return (sys.executable, "-m", "tests.workers.fake_device", str(plan))


def hurry() -> None:
    """Everything that waits for seconds waits for less, so that tests can wait for it."""
    from workers import pipeline, supervisor
    from workers.ledger import claims, exports, leases, repairs

    for module in (claims, exports, leases, repairs, pipeline):
        module.LEASE = LEASE  # type: ignore[attr-defined]
    pipeline.RENEW_SECONDS = 0.4  # type: ignore[misc]
    supervisor.PULSE_SECONDS = 0.4  # type: ignore[misc]
    supervisor.Device = functools.partial(supervisor.Device, no_progress_seconds=1.5)  # type: ignore[misc,assignment]


def run(name: str, device: Sequence[str]) -> None:
    """Work until SIGTERM."""
    hurry()
    import workers.celery  # noqa: F401  the application through which others are woken
    from workers.supervisor import Supervisor

    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    supervisor = Supervisor(name, device)
    supervisor.start()
    while not told.wait(0.1):
        pass
    supervisor.stop()


def run_forked(
    name: str, device: Sequence[str], traps: str, log: Path, prepare: Callable[[], None] = lambda: None
) -> None:
    """The same in a fork of the test process, whose database connection is left alone: to close it would end it there too.

    `traps` are as FAILPOINTS has them; `prepare` is called before the work begins.
    """
    from django.db import connection

    from workers import failpoints

    inherited, connection.connection = connection.connection, None
    sys.stdout = sys.stderr = log.open("a", buffering=1)  # pytest's own are its capture, whatever becomes of 1 and 2
    os.dup2(sys.stderr.fileno(), 1)
    os.dup2(sys.stderr.fileno(), 2)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, force=True)
    failpoints.arm(traps)
    try:
        prepare()
        run(name, device)
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(0 if inherited else 1)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
    django.setup()
    run(sys.argv[1], command(Path(sys.argv[2])))
