"""Early pytest plugin: a Postgres and a Valkey for this test run alone, and the environment that points Django at them.

Loaded by `addopts`, before pytest-django reads the settings. The servers' files are in a temporary folder and go with it.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from webapp.system.embedded import Postgres, Valkey, create_socket_folder
from webapp.system.processes import Child

# A test database that a power cut destroys is no loss; waiting for the disk at every commit is.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}


class Services:
    """Started at once; `stop` ends them and removes their files. A test may crash them and start them anew."""

    def __init__(self) -> None:
        self.data = Path(tempfile.mkdtemp(prefix="progeny-test-"))
        self.data.chmod(0o755)
        self.sockets = create_socket_folder(self.data)
        self._logs = self.data / "logs"
        self._logs.mkdir()
        self.valkey: Child | None = None
        self.postgres: Child | None = None
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    def start(self) -> None:
        """Start what does not run."""
        if self.valkey is None:
            self.valkey = Valkey(self.sockets).start(self._logs / "valkey.log", lambda: False)
        if self.postgres is None:
            self.postgres = Postgres(self.data, self.sockets, FAST).start(self._logs / "postgres.log", lambda: False)

    def crash_postgres(self) -> None:
        """End it as `pg_ctl stop -m immediate` does: nothing is written any more, and it recovers when it starts."""
        if self.postgres:
            os.kill(self.postgres.pid, signal.SIGQUIT)
            self.postgres.stop()
            self.postgres = None

    def crash_valkey(self) -> None:
        """End it as `kill -9` does: all that it held is lost."""
        if self.valkey:
            os.kill(self.valkey.pid, signal.SIGKILL)
            self.valkey.stop()
            self.valkey = None

    def stop(self) -> None:
        for child in (self.postgres, self.valkey):
            if child:
                child.stop()
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.rmtree(self.sockets, ignore_errors=True)


SERVICES = pytest.StashKey[Services]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    _keep_bytecode()
    if _runs_no_test_itself(early_config):
        folder = tempfile.TemporaryDirectory(prefix="progeny-test-")
        early_config.add_cleanup(folder.cleanup)
        os.environ["PROGENY_DATA"] = folder.name
        return (yield)
    services = Services()
    early_config.add_cleanup(services.stop)
    early_config.stash[SERVICES] = services
    os.environ["PROGENY_DATA"] = str(services.data)
    for name in ("DATABASE_URL", "REDIS_URL", "PROGENY_DEBUG", "PROGENY_URL", "PROGENY_HOSTS"):
        os.environ.pop(name, None)
    # processes that share the cores wait for each other's threads longer than these save
    os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")
    os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # Playwright keeps a loop running in the main thread
    return (yield)


def _keep_bytecode() -> None:
    """Whatever the environment says: a worker takes twice as long to start where nothing compiled is kept, and tests start hundreds."""
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def _runs_no_test_itself(config: pytest.Config) -> bool:
    """Whether xdist's processes do, each of which has servers of its own."""
    return bool(getattr(config.known_args_namespace, "numprocesses", None)) and "PYTEST_XDIST_WORKER" not in os.environ
