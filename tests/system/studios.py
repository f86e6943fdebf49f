"""For tests that run the real studio: start it, read what it says, interrupt it, and look for what it left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import PATIENCE, free_port, wait_for
from webapp.env import BASE_DIR

READY = "Ctrl-C stops it"


def manage(data: Path, *words: str, seconds: float = PATIENCE) -> subprocess.CompletedProcess[str]:
    """A command on this data folder, to its end."""
    command = [sys.executable, str(BASE_DIR / "manage.py"), *words]
    return subprocess.run(command, env=_environment(data), capture_output=True, text=True, check=False, timeout=seconds)


class RunningStudio:
    """A studio process. `output` is what it has said so far."""

    def __init__(self, data: Path, log: Path) -> None:
        self.data = data
        self.port = free_port()
        self._log = log
        command = [sys.executable, str(BASE_DIR / "manage.py"), "studio", "--port", str(self.port)]
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                command, env=_environment(data), stdout=stream, stderr=stream, start_new_session=True
            )

    @property
    def output(self) -> str:
        return self._log.read_text()

    @property
    def url(self) -> str:
        found = re.search(r" (http://\S+)", self.output)
        assert found, self.output
        return found[1]

    def wait_for_output(self, text: str, seconds: float = PATIENCE) -> None:
        def said() -> bool:
            assert self.process.poll() is None or text in self.output, (
                f"it ended before it said {text!r}: {self.output}"
            )
            return text in self.output

        wait_for(said, f"the studio has said {text!r}", seconds)

    def interrupt(self, n_times: int = 1) -> int:
        """Ctrl-C, as often as an impatient person presses it; the exit code."""
        for _ in range(n_times):
            self.process.send_signal(signal.SIGINT)
            time.sleep(0.1)
        return self.process.wait(PATIENCE)


@contextmanager
def studio(data: Path, log: Path) -> Iterator[RunningStudio]:
    """A studio that is gone at the end of the block, however the block ends."""
    running = RunningStudio(data, log)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.interrupt()


def left_behind(data: Path) -> list[str]:
    """Command lines of all processes that were started for this data folder or work in it."""
    others = [path for path in Path("/proc").iterdir() if path.name.isdigit() and int(path.name) != os.getpid()]
    return [line for process in others if (line := _command_line(process, data))]


def _command_line(process: Path, data: Path) -> str | None:
    """None for a process of somebody else's, and for one that ends while it is looked at."""
    try:
        environment = (process / "environ").read_bytes().split(b"\0")
        ours = os.fsencode(f"PROGENY_DATA={data}") in environment or (process / "cwd").resolve().is_relative_to(data)
        return (process / "cmdline").read_text().replace("\0", " ") if ours else None
    except OSError:
        return None


def _environment(data: Path) -> dict[str, str]:
    return {**os.environ, "PROGENY_DATA": str(data)}
