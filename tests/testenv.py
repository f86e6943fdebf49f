"""Early pytest plugin: a Postgres and a Valkey for this test run alone, and the environment that points Django at them.

Loaded by `addopts`, before pytest-django reads the settings. The servers' files are in a temporary folder and go with it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from webapp.system.embedded import Postgres, Valkey, create_socket_folder
from webapp.system.processes import Child

# A test database that a power cut destroys is no loss; waiting for the disk at every commit is.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}


class Services:
    """Started at once; `stop` ends them and removes their files."""

    def __init__(self) -> None:
        self.data = Path(tempfile.mkdtemp(prefix="progeny-test-"))
        self.data.chmod(0o755)
        self.sockets = create_socket_folder(self.data)
        logs = self.data / "logs"
        logs.mkdir()
        self._children: list[Child | None] = []
        try:
            self._children.append(Valkey(self.sockets).start(logs / "valkey.log", lambda: False))
            self._children.append(Postgres(self.data, self.sockets, FAST).start(logs / "postgres.log", lambda: False))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        for child in self._children:
            if child:
                child.stop()
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.rmtree(self.sockets, ignore_errors=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    services = Services()
    early_config.add_cleanup(services.stop)
    os.environ["PROGENY_DATA"] = str(services.data)
    for name in ("DATABASE_URL", "REDIS_URL", "PROGENY_DEBUG", "PROGENY_URL", "PROGENY_HOSTS"):
        os.environ.pop(name, None)
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # Playwright keeps a loop running in the main thread
    return (yield)
