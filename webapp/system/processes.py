"""Child processes that do not outlive whoever started them. Knows no service and no Django.

A child has a process group of its own, so that Ctrl-C in the terminal reaches only its parent, which stops its children in order. When the
parent dies without having done so (`kill -9`), the kernel sends each child its death signal.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from merging.deaths import die_with_us
from webapp.env import SetupError

POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Command:
    """What to run and how to end it. `user` is the numeric id to drop to; None keeps ours."""

    name: str
    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    user: int | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    death_signal: signal.Signals = signal.SIGTERM

    def become(self) -> NoReturn:
        """Turn this process into the command."""
        os.chdir(self.folder or ".")
        os.execve(self.words[0], self.words, {**os.environ, **self.environment})


class Child:
    """A running command, writing to its log file. Started by the constructor."""

    def __init__(self, command: Command, log: Path) -> None:
        self.command = command
        self.log = log
        self._log_start = log.stat().st_size if log.exists() else 0
        self._is_asked_to_end = False
        with log.open("ab") as stream:
            self._process = _start(command, stream.fileno())

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._process.poll()

    def last_words(self, n_lines: int = 1) -> str:
        """The last lines that it wrote, for a message about its end."""
        lines = [line for line in self.written().splitlines() if line.strip()]
        return "\n".join(lines[-n_lines:])

    def written(self) -> str:
        """What it has written since it was started."""
        with self.log.open("rb") as stream:
            stream.seek(self._log_start)
            return stream.read().decode(errors="replace")

    def ask_to_end(self) -> None:
        """Send its stop signal, once."""
        if not self._is_asked_to_end:
            self._process.send_signal(self.command.stop_signal)
            self._is_asked_to_end = True

    def stop(self) -> None:
        """Ask it to end, wait, then end it and what is left of its group. Returns when nothing of it runs any more."""
        self.ask_to_end()
        try:
            self._process.wait(self.command.stop_seconds)
        except subprocess.TimeoutExpired:
            pass
        _kill_group(self.pid)
        self._process.wait()


def run(command: Command, log: Path, interrupted: Callable[[], bool]) -> Child:
    """Run a command to its end and return what is left of it. Ended early, with its group, as soon as `interrupted` says so."""
    child = Child(command, log)
    try:
        while child.exit_code() is None and not interrupted():
            time.sleep(POLL_SECONDS)
    finally:
        child.stop()
    return child


def wait_until(ready: Callable[[], bool], child: Child, seconds: float, interrupted: Callable[[], bool]) -> bool:
    """Wait for a child's service. False when interrupted; SetupError when the child ended or took too long."""
    deadline = time.monotonic() + seconds
    while not interrupted():
        if ready():
            return True
        if child.exit_code() is not None:
            raise SetupError(f"{child.command.name} ended during start: {child.last_words()} (see {child.log})")
        if time.monotonic() > deadline:
            raise SetupError(f"{child.command.name} was not ready after {seconds:.0f} s (see {child.log})")
        time.sleep(POLL_SECONDS)
    return False


def _start(command: Command, output: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command.words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=command.folder,
            env={**os.environ, **command.environment},
            process_group=0,
            preexec_fn=die_with_us(command.death_signal),
            user=command.user,
            group=command.user,
            extra_groups=None if command.user is None else [],
        )
    except OSError as error:
        raise SetupError(f"{command.name} cannot be started: {error}") from error


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass
