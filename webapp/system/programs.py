"""The programs of the house as command lines: the workers, one for each device, and the web server. Starts nothing."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Final

from webapp.env import BASE_DIR, SetupError, engine, n_cpu_workers, words
from webapp.system.processes import Child, Command

EVERYWHERE: Final = ("0.0.0.0", "::")
WARNING: Final = "warning: "
"""How a line of `prepare` begins that whoever started it passes on."""
_WORKER_IS_READY: Final = re.compile(r'@\S+ ready\.(?:$|")', re.MULTILINE)
_DEVICE_HAS_LOADED: Final = re.compile(r"the device process \d+ has loaded")


@dataclass(frozen=True)
class Address:
    """Where the web server listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """What to open in a browser, without a path."""
        if public := os.environ.get("PROGENY_URL", ""):
            return public.rstrip("/")
        return self._url_at(own_address() if self.host in EVERYWHERE else self.host)

    def check_free(self, otherwise: str = "Choose another with --port N") -> None:
        """Refuse a port that another program listens on, and one that may not be listened on."""
        with socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((self.host, self.port))
                listener.listen()
            except OSError as error:
                reason = error.strerror or str(error)
                raise SetupError(f"cannot listen on {self.host}:{self.port}: {reason}. {otherwise}") from error

    def answers(self) -> bool:
        """True as soon as the web server gives any answer."""
        local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        try:
            urllib.request.urlopen(f"{self._url_at(local)}/healthz", timeout=10).close()  # nosec B310  # http, our own
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def _url_at(self, host: str) -> str:
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


def own_address() -> str:
    """This machine's address on its network; the loopback address when it has none. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def web_command(address: Address) -> Command:
    """The web server. It answers to the names of this machine by which others can reach the address."""
    listen = ("--host", address.host, "--port", str(address.port))
    quiet = ("--log-level", "warning", "--no-access-log")
    protocol = ("--lifespan", "off", "--ws", "websockets-sansio", "--timeout-graceful-shutdown", "3")
    # pages say nothing over their sockets, and to compress a small frame for each of them costs more than it saves
    sockets = ("--ws-max-size", "1024", "--ws-per-message-deflate", "false")
    names = [own_address(), socket.gethostname()] if address.host in EVERYWHERE else [address.host]
    return Command(
        "web",
        (sys.executable, "-m", "uvicorn", "webapp.asgi:application", *listen, *quiet, *protocol, *sockets),
        environment={"PROGENY_HOSTS": ",".join([*words("PROGENY_HOSTS"), *names]), "PROGENY_DATABASE_POOL": "1"},
        folder=BASE_DIR,
        stop_seconds=8,
    )


def prepare_command(url: str) -> Command:
    """What brings the database up to date; `url` is where people reach this installation, unless PROGENY_URL says so."""
    environment = {"PROGENY_URL": os.environ.get("PROGENY_URL") or url}
    return Command("prepare", (sys.executable, "manage.py", "prepare"), environment, folder=BASE_DIR, stop_seconds=5)


def worker_commands(host: str = "%h") -> list[Command]:
    """One worker for each GPU that may be used; where there is none, one for the processor or as many as are asked for.

    `host` is the second half of their names: this host's, unless something else tells it from every other.
    """
    gpus = visible_gpus()
    if engine() == "vllm":
        _check_vllm(gpus)
    if gpus:
        return [_worker_command(f"gpu{gpu}", host, {"CUDA_VISIBLE_DEVICES": gpu}) for gpu in gpus]
    if (n := n_cpu_workers()) == 1:
        return [_worker_command("cpu", host, {})]
    threads = {"OMP_NUM_THREADS": str((os.cpu_count() or n) // n)}  # more would wait for each other's cores
    return [_worker_command(f"cpu{i}", host, threads) for i in range(n)]


def worker_is_ready(worker: Child) -> bool:
    """True once the worker has said that it takes work."""
    return bool(_WORKER_IS_READY.search(worker.written()))


def worker_has_loaded(worker: Child) -> bool:
    """True once its device process has loaded, too: it computes what it takes."""
    return bool(_DEVICE_HAS_LOADED.search(worker.written()))


def visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES names, otherwise every GPU that the driver's tool lists. Never imports torch."""
    if (chosen := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [word for word in chosen.split(",") if word not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)
    except subprocess.TimeoutExpired as error:
        raise SetupError(
            "nvidia-smi has not answered for 30 s. Repair the driver, or set CUDA_VISIBLE_DEVICES= for none"
        ) from error
    return re.findall(r"^GPU (\d+):", listed.stdout, re.MULTILINE)


def _check_vllm(gpus: list[str]) -> None:
    """SetupError where workers would fail at their first candidate."""
    missing = "a GPU, and none is visible here" if not gpus else "an installation of its own"
    if not gpus or importlib.util.find_spec("vllm") is None:
        raise SetupError(f"PROGENY_ENGINE=vllm needs {missing}: see docs/vllm.md, or leave PROGENY_ENGINE unset")


def _worker_command(device: str, host: str, environment: dict[str, str]) -> Command:
    celery = (sys.executable, "-m", "celery", "-A", "workers.celery", "--quiet", "worker")
    options = ("--pool", "threads", "--concurrency", "1", "--hostname", f"{device}@{host}", "--loglevel", "INFO")
    return Command(
        f"worker-{device}",
        (*celery, *options),
        environment,
        folder=BASE_DIR,
        stop_seconds=20,
        death_signal=signal.SIGKILL,  # its database and broker end as well: nobody is left to say goodbye to
    )
