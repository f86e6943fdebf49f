"""What the environment and the data folder say about this installation. Knows no Django and starts nothing.

Everything that has to agree between processes is derived from the data folder alone: a command started later, from another
folder or another session, finds the same sockets and the same secret.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import socket
import tempfile
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal, cast, get_args
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from merging.benchmarks.harness import OFFLINE, TRUE
from merging.engines import EngineName

BASE_DIR: Final = Path(__file__).resolve().parent.parent
MAX_SOCKET_PATH: Final = 103  # bytes, with the final NUL 104 on macOS; Linux allows 107
LONGEST_SOCKET: Final = ".s.PGSQL.65535"
GATE: Final = "gate.json"
MAX_DIGITS: Final = 9
MIN_TOKEN: Final = 20
LogForm = Literal["text", "json"]
Reach = Literal["", "shared", "store"]
"""How a worker comes by models and questions: it is the server's own, it shares the data folder from another host, or uses the store."""


@dataclass(frozen=True)
class Quotas:
    """What one user may take: `n_runs` that are not over, `budget` and `population` of one run, `n_benchmarks` of questions of one's own,
    `export_bytes` of models that are built for download.
    """

    n_runs: int
    budget: int
    population: int
    n_benchmarks: int
    export_bytes: int


class SetupError(Exception):
    """This installation cannot be used as it is. The message is one line for the person at the terminal: what, and what to do."""


def flag(name: str) -> bool:
    """True for 1, true, yes, on; false for 0, false, no, off, empty or unset."""
    value = os.environ.get(name, "").strip().lower()
    if value in ("", "0", "false", "no", "off"):
        return False
    if value in ("1", "true", "yes", "on"):
        return True
    raise SetupError(f"{name} is {value!r}, expected 1 or 0")


def words(name: str) -> list[str]:
    """The comma-separated words of a variable, without blanks; empty when unset."""
    return [word.strip() for word in os.environ.get(name, "").split(",") if word.strip()]


def engine() -> EngineName:
    """PROGENY_ENGINE: what answers questions on the workers of this machine; transformers when unset."""
    return cast(EngineName, _one_of("PROGENY_ENGINE", get_args(EngineName), "transformers"))


def n_cpu_workers() -> int:
    """PROGENY_CPU_WORKERS: how many workers share the processor of a machine without a GPU; one when unset."""
    chosen = os.environ.get("PROGENY_CPU_WORKERS", "").strip() or "1"
    n_cores = os.cpu_count() or 1
    if not (chosen.isascii() and chosen.isdigit() and 1 <= int(chosen) <= n_cores):
        raise SetupError(f"PROGENY_CPU_WORKERS is {chosen!r}, expected a number from 1 to {n_cores}, the cores here")
    return int(chosen)


def offline() -> bool:
    """PROGENY_OFFLINE, or any of the switches that libraries know; one of them sets all, for this process and those that it starts."""
    is_offline = flag("PROGENY_OFFLINE") or any(os.environ.get(name, "").upper() in TRUE for name in OFFLINE)
    if is_offline:
        os.environ.update(dict.fromkeys(OFFLINE, "1"))
    return is_offline


def hub_url() -> str:
    """HF_ENDPOINT: the Hub's address without a slash at its end."""
    address = os.environ.get("HF_ENDPOINT", "").strip().rstrip("/") or "https://huggingface.co"
    if urlsplit(address).scheme not in ("http", "https") or not urlsplit(address).hostname:
        raise SetupError(f"HF_ENDPOINT is {address!r}, expected an address such as https://huggingface.co")
    return address


def hub_cache(data: Path) -> Path:
    """HF_HUB_CACHE: where models of the Hub are kept, in its own library's layout."""
    return Path(os.environ.get("HF_HUB_CACHE") or data / "hub" / "cache").expanduser().resolve()


def log_form() -> LogForm:
    """PROGENY_LOG: how log records are written; text when unset."""
    return cast(LogForm, _one_of("PROGENY_LOG", get_args(LogForm), "text"))


def metrics_token() -> str:
    """PROGENY_METRICS_TOKEN: what Prometheus brings; empty when unset."""
    token = os.environ.get("PROGENY_METRICS_TOKEN", "")
    if token and not (len(token) >= MIN_TOKEN and token.isascii() and token.isprintable() and " " not in token):
        raise SetupError(
            f"PROGENY_METRICS_TOKEN is too short or has blanks in it, expected {MIN_TOKEN} letters or more"
        )
    return token


@dataclass(frozen=True)
class Mail:
    """The server that takes mail, and whom it is from; no host where none is sent."""

    host: str = ""
    port: int = 0
    user: str = ""
    password: str = ""
    is_smtps: bool = False
    sender: str = ""


def mail() -> Mail:
    """PROGENY_MAIL, such as smtp://user:password@mail.example.org:587 (which must know STARTTLS) or smtps://…, and PROGENY_MAIL_FROM."""
    address = os.environ.get("PROGENY_MAIL", "").strip()
    if not address:
        return Mail()
    parts, sender = urlsplit(address), os.environ.get("PROGENY_MAIL_FROM", "").strip()
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise SetupError(
            "PROGENY_MAIL is no address of a mail server, expected one such as smtp://mail.example.org:587"
        )
    if "@" not in sender:
        raise SetupError(f"PROGENY_MAIL_FROM is {sender!r}, expected whom mail is from, such as progeny@example.org")
    is_smtps = parts.scheme == "smtps"
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Mail(parts.hostname, parts.port or (465 if is_smtps else 587), user, password, is_smtps, sender)


def store() -> str:
    """PROGENY_STORE: where workers on other hosts get models and questions from, as fsspec names it; empty when unset."""
    url = os.environ.get("PROGENY_STORE", "").strip()
    parts = urlsplit(url)
    if url and not (parts.scheme and "://" in url and (parts.netloc or parts.path.startswith("/"))):
        raise SetupError(f"PROGENY_STORE is {url!r}, expected s3://bucket/prefix or file:///folder")
    return url


def reach() -> Reach:
    """PROGENY_REACH, which `join` sets for its workers: how they come by files; empty for the server's own."""
    return cast(Reach, _one_of("PROGENY_REACH", get_args(Reach), ""))


def llama_cpp() -> str:
    """PROGENY_LLAMA_CPP: the folder of a llama.cpp checkout; empty when its programs are looked for on the PATH."""
    return os.environ.get("PROGENY_LLAMA_CPP", "").strip()


def quotas() -> Quotas:
    """PROGENY_MAX_RUNS and its like, each a whole number of at least 1."""
    return Quotas(
        n_runs=_limit("PROGENY_MAX_RUNS", 50),
        budget=_limit("PROGENY_MAX_BUDGET", 100_000),
        population=_limit("PROGENY_MAX_POPULATION", 10_000),
        n_benchmarks=_limit("PROGENY_MAX_BENCHMARKS", 1000),
        export_bytes=_limit("PROGENY_MAX_EXPORT_GB", 2000) * 10**9,
    )


def _one_of(name: str, choices: Sequence[str], usual: str) -> str:
    chosen = os.environ.get(name, "").strip() or usual
    if chosen not in choices:
        raise SetupError(f"{name} is {chosen!r}, expected {' or '.join(choices)}")
    return chosen


def _limit(name: str, usual: int) -> int:
    chosen = os.environ.get(name, "").strip() or str(usual)
    if not (chosen.isascii() and chosen.isdigit() and len(chosen) <= MAX_DIGITS and int(chosen) >= 1):
        raise SetupError(f"{name} is {chosen!r}, expected a whole number of at least 1")
    return int(chosen)


def data_folder() -> Path:
    """Where this installation keeps all that it must not lose. Not created here."""
    return Path(os.environ.get("PROGENY_DATA") or BASE_DIR / "data").expanduser().resolve()


def add_data_option(parser: ArgumentParser) -> None:
    """For `--help`: manage.py has taken `--data` away before a command sees its options."""
    parser.add_argument(
        "--data", metavar="DIR", help="the data folder: PROGENY_DATA, or data/ beside ./progeny, by default"
    )


def create_data_folder(data: Path) -> None:
    """Make the data folder, or say in one line why it cannot be used."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data):
            pass
    except OSError as error:
        reason = f"the data folder {data} cannot be written: {error.strerror or error}"
        raise SetupError(f"{reason}. Make it writable or choose another with --data DIR") from error


def socket_folder(data: Path) -> Path:
    """A short folder for this data folder's sockets. `/tmp` and not TMPDIR: another session has to find it by the data folder alone."""
    root = Path("/tmp") if os.access("/tmp", os.W_OK) else Path(tempfile.gettempdir())
    folder = root / f"progeny-{os.getuid()}-{hashlib.sha256(os.fsencode(data)).hexdigest()[:12]}"
    longest = len(os.fsencode(folder / "postgres" / f"{LONGEST_SOCKET}.lock"))
    if longest > MAX_SOCKET_PATH:
        raise SetupError(
            f"the socket path {folder} is too long: {longest} bytes, at most {MAX_SOCKET_PATH}. Set TMPDIR to a shorter folder"
        )
    return folder


@dataclass(frozen=True)
class Gate:
    """By what workers on other hosts come in to the embedded services: the ports on which these listen for them, and a password each."""

    database_port: int
    database_password: str
    redis_port: int
    redis_password: str


def gate(data: Path) -> Gate | None:
    """The gate of this data folder; None until workers of other hosts were let in for the first time."""
    try:
        return Gate(**json.loads((data / GATE).read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise SetupError(
            f"{data / GATE} cannot be read: {error}. Remove it, and a new one is made: workers join anew"
        ) from error


def make_gate(data: Path, host: str) -> Gate:
    """The gate of this data folder, made at first use with two ports that are free on `host`, and readable by its owner only."""
    if (data / GATE).exists():
        return cast(Gate, gate(data))
    database, redis = _free_ports(host)
    made = Gate(database, secrets.token_urlsafe(32), redis, secrets.token_urlsafe(32))
    write_once(data / GATE, json.dumps(asdict(made)))
    return cast(Gate, gate(data))


def _free_ports(host: str) -> tuple[int, int]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as first, socket.socket(family) as second:
        for listener in (first, second):
            try:
                listener.bind((host, 0))
            except OSError as error:
                raise SetupError(f"{host} is no address of this machine: {error.strerror or error}") from error
        return first.getsockname()[1], second.getsockname()[1]


@dataclass(frozen=True)
class DatabaseAddress:
    """Where Postgres listens. `host` may be a folder that holds its unix socket."""

    name: str
    user: str = ""
    password: str = ""
    host: str = ""
    port: str = ""
    options: tuple[tuple[str, str], ...] = ()


def database_address(data: Path) -> DatabaseAddress:
    """DATABASE_URL if it is set, otherwise the embedded server of this data folder."""
    url = os.environ.get("DATABASE_URL", "")
    if not url:
        port = str(opened.database_port) if (opened := gate(data)) else ""
        return DatabaseAddress(name="postgres", user="progeny", host=str(socket_folder(data) / "postgres"), port=port)
    parts = urlsplit(url)
    if parts.scheme not in ("postgres", "postgresql"):
        raise SetupError(f"DATABASE_URL starts with {parts.scheme!r}, expected postgres://user:password@host:port/name")
    options = dict(parse_qsl(parts.query))
    host = options.pop("host", unquote(parts.hostname or ""))
    return DatabaseAddress(
        name=unquote(parts.path.removeprefix("/")),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        host=host,
        port=str(parts.port or ""),
        options=tuple(options.items()),
    )


@dataclass(frozen=True)
class RedisAddress:
    """Where Redis or Valkey listens, in the two spellings that its clients expect."""

    url: str

    @property
    def celery(self) -> str:
        """The address as kombu reads it: a unix socket has a scheme of its own there."""
        if not self.url.startswith("unix://"):
            return self.url
        parts = urlsplit(self.url)
        who = f":{parts.password}@" if parts.password else ""
        return f"redis+socket://{who}{parts.path}?virtual_host={dict(parse_qsl(parts.query)).get('db', '0')}"


def redis_address(data: Path) -> RedisAddress:
    """REDIS_URL if it is set, otherwise the embedded server of this data folder."""
    url = os.environ.get("REDIS_URL", "")
    if not url:
        who = f":{quote(opened.redis_password)}@" if (opened := gate(data)) else ""
        return RedisAddress(f"unix://{who}{socket_folder(data) / 'valkey.sock'}?db=0")
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise SetupError(
            f"REDIS_URL is {url!r}, expected redis://host:port/0, rediss://... or unix:///path/to/socket?db=0"
        )
    return RedisAddress(url)


def secret_key(data: Path) -> str:
    """PROGENY_SECRET_KEY, or the key of this data folder, made at first use and readable by its owner only."""
    given = os.environ.get("PROGENY_SECRET_KEY", "")
    if given:
        return given
    file = data / "secret.key"
    if not file.exists():
        create_data_folder(data)
        write_once(file, secrets.token_urlsafe(50))
    try:
        return file.read_text().strip()
    except OSError as error:
        raise SetupError(
            f"the key {file} cannot be read: {error.strerror}. It belongs to the user who made it"
        ) from error


def old_secret_keys() -> list[str]:
    """PROGENY_OLD_SECRET_KEYS: keys that were replaced, separated by commas; what was signed or sealed with them is still read."""
    return words("PROGENY_OLD_SECRET_KEYS")


def write_once(file: Path, text: str) -> None:
    """Write the file complete and with mode 0600, or leave the one that another process wrote in the meantime."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    with os.fdopen(os.open(beside, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(text)
    try:
        os.link(beside, file)
    except FileExistsError:
        pass
    finally:
        beside.unlink()


def public_url() -> str:
    """PROGENY_URL as scheme and host, without a path; empty when unset."""
    url = os.environ.get("PROGENY_URL", "").rstrip("/")
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname or parts.path):
        raise SetupError(f"PROGENY_URL is {url!r}, expected https://host or http://host:port")
    return url


def fingerprint(folder: Path, salt: str) -> str:
    """Twelve hex digits that change when a file under the folder, or the salt, does. A missing folder is an empty one."""
    digest = hashlib.sha256(salt.encode())
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        digest.update(f"{file.relative_to(folder)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]
