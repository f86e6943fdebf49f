"""Locks on files: held by a process, shared or alone, and gone with it however it ended. Knows no purpose."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self


class FileLock:
    """One process's hold on a file. A context manager that lets go at its end."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)

    def share(self) -> None:
        """Hold it together with others that share it; wait while somebody holds it alone."""
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def take(self, seconds: float = 0.0) -> bool:
        """Hold it alone, trying for so long. A short look by another process (`is_held`) is no reason to give up."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(0.02)
            else:
                return True

    def keep_over_exec(self) -> None:
        """Let the program that this process turns into hold it on."""
        os.set_inheritable(self._descriptor, True)

    def release(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def is_held(file: Path) -> bool:
    """True while somebody holds it, shared or alone."""
    with FileLock(file) as lock:
        return not lock.take()


def is_held_alone(file: Path) -> bool:
    """True while somebody holds it alone."""
    with FileLock(file) as lock:
        try:
            fcntl.flock(lock._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
