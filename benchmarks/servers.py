"""The product's servers for a benchmark: Postgres and Valkey with its own settings, and its web server, on a data folder of their own."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path


class Web:
    """The product's web server. What it used is counted from `begin` on."""

    def __init__(self, logs: Path, **environment: str) -> None:
        from webapp.system.programs import Address, web_command

        self._address = Address("127.0.0.1", free_port())
        self._log = logs / f"web-{self._address.port}.log"
        command = web_command(self._address)
        self._command = replace(command, environment={**command.environment, **environment})
        self._began = (0.0, 0.0)
        self._start()

    @property
    def host(self) -> str:
        """`127.0.0.1:PORT`."""
        return f"127.0.0.1:{self._address.port}"

    def begin(self) -> None:
        self._began = time.monotonic(), self._processor_seconds()

    def used(self) -> tuple[float, int]:
        """Processor seconds a second, and bytes of memory."""
        then, seconds = self._began
        return (self._processor_seconds() - seconds) / (time.monotonic() - then), self.memory()

    def memory(self) -> int:
        """Bytes that are resident."""
        return int(Path(f"/proc/{self._child.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def restart(self) -> None:
        os.kill(self._child.pid, 9)
        self._start()
        self.begin()

    def stop(self) -> None:
        self._child.stop()

    def complaints(self) -> str:
        """All that it wrote: it says nothing when all is well."""
        return self._log.read_text(errors="replace").strip()

    def _start(self) -> None:
        from webapp.system.processes import Child

        self._child = Child(self._command, self._log)
        while not self._address.answers():
            time.sleep(0.05)

    def _processor_seconds(self) -> float:
        fields = Path(f"/proc/{self._child.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def services(data: Path) -> Iterator[None]:
    """Postgres and Valkey with the product's own settings, and Django set up for them here and in child processes."""
    data.chmod(0o755)
    os.environ |= {"DJANGO_SETTINGS_MODULE": "webapp.settings", "PROGENY_DATA": str(data)}
    import django

    django.setup()
    from webapp.system.embedded import Postgres, Valkey, create_socket_folder

    (data / "logs").mkdir()
    sockets = create_socket_folder(data)
    valkey = Valkey(sockets).start(data / "logs" / "valkey.log", lambda: False)
    postgres = Postgres(data, sockets).start(data / "logs" / "postgres.log", lambda: False)
    try:
        yield
    finally:
        for child in (postgres, valkey):
            if child:
                child.stop()
        shutil.rmtree(sockets, ignore_errors=True)


def free_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
