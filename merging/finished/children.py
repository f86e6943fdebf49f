"""Programs that run apart while somebody waits: they end with whoever started them, or when they take too long. No torch."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from merging.deaths import die_with_us

TICK_SECONDS: Final = 0.5
APART: Final = {"HF_HUB_OFFLINE": "1", "HF_HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}
"""What every such program is told: no network, no cache of ours, nothing written beside its code."""


def run_apart(
    command: Sequence[str],
    given: str,
    seconds: float,
    tick: Callable[[], None],
    environment: Mapping[str, str],
) -> subprocess.CompletedProcess[str] | None:
    """What the program said to `given`; None when it was ended because it took longer than `seconds`.

    `tick` is called twice a second; what it raises ends the program, with all that it has started. The program sees this environment and
    no other, and stands in the root folder.
    """
    deadline, sent = time.monotonic() + seconds, False
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=dict(environment),
        cwd="/",
        start_new_session=True,
        preexec_fn=die_with_us(),
    ) as process:
        try:
            while True:
                try:
                    out, err = process.communicate(None if sent else given, timeout=TICK_SECONDS)
                except subprocess.TimeoutExpired:
                    sent = True
                    tick()
                    if time.monotonic() > deadline:
                        return None
                else:
                    return subprocess.CompletedProcess(command, process.returncode, out, err)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def environment(*names: str) -> dict[str, str]:
    """What a program sees: of our own variables only these, where we have them."""
    return {name: os.environ[name] for name in names if name in os.environ} | APART


def last_line(text: str) -> str:
    """The last thing that a program said, for a person."""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "nothing")[:1000]
