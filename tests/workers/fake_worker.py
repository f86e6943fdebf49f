"""A worker process with a fake device, short leases and named points at which it kills itself once. Ends at SIGTERM.

python -m tests.workers.fake_worker NAME PLAN [POINT]
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import django

LEASE = timedelta(seconds=2)


def command(plan: Path) -> tuple[str, ...]:
    """The fake device's."""
    return (sys.executable, "-m", "tests.workers.fake_device", str(plan))


def hurry() -> None:
    """Everything that waits for seconds waits for less, so that tests can wait for it."""
    from workers import pipeline, supervisor
    from workers.ledger import claims, exports, repairs

    for module in (claims, exports, repairs, pipeline):
        module.LEASE = LEASE  # type: ignore[attr-defined]
    pipeline.RENEW_SECONDS = 0.4  # type: ignore[misc]
    supervisor.PULSE_SECONDS = 0.4  # type: ignore[misc]
    supervisor.Device = functools.partial(supervisor.Device, no_progress_seconds=1.5)  # type: ignore[misc,assignment]


def arm(point: str, mark: Path) -> None:
    """Kill this process the first time that it passes the point."""
    from workers.ledger import generations, results

    def die() -> None:
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def before(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            die()
            return function(*arguments)

        return wrapped

    def after(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            result = function(*arguments)
            if result is not False:
                die()
            return result

        return wrapped

    from webapp.runs import transitions
    from workers import pipeline

    points: dict[str, tuple[Any, str, Callable[..., Any]]] = {
        "after claim": (pipeline, "evaluate", before),
        "before commit": (results, "finish", before),
        "inside commit": (results, "end_attempt", before),
        "after commit": (results, "finish", after),
        "inside advance": (generations, "_open", after),
        "after advance": (generations, "advance", after),
        "inside snapshot": (transitions, "take_snapshot", after),
        "inside exam": (transitions, "_hold_exam", after),
    }
    module, name, how = points[point]
    setattr(module, name, how(getattr(module, name)))


def run(name: str, plan: Path, point: str | None) -> None:
    """Work until SIGTERM."""
    hurry()
    if point:
        arm(point, plan.with_suffix(f".{point.replace(' ', '-')}"))
    import workers.celery  # noqa: F401  the application through which others are woken
    from workers.supervisor import Supervisor

    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    supervisor = Supervisor(name, command(plan))
    supervisor.start()
    while not told.wait(0.1):
        pass
    supervisor.stop()


def run_forked(name: str, plan: Path, point: str | None, log: Path) -> None:
    """The same in a fork of the test process, whose database connection is left alone: to close it would end it there too."""
    from django.db import connection

    inherited, connection.connection = connection.connection, None
    with log.open("ab") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    try:
        run(name, plan, point)
    finally:
        os._exit(0 if inherited else 1)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
    django.setup()
    run(sys.argv[1], Path(sys.argv[2]), None)
