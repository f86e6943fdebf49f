"""An invitation: all that a worker on another host needs to know, as one word that is pasted there. It is a secret."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass, field
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

from webapp.env import Gate, SetupError
from webapp.system.embedded import WORKER_ROLE

PREFIX: Final = "progeny-join:"
OF_STORE: Final = (
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
)
"""Variables by which a bucket is opened."""
HERE_ALONE: Final = ("", "localhost", "127.0.0.1", "::1", "db", "redis")
"""Hosts that mean another machine elsewhere, or none; the last two are the names in docker-compose.yml."""


@dataclass(frozen=True)
class Invite:
    """`database` and `redis` are URLs as seen from other hosts, `data` is the server's data folder, `identity` the id of its installation,
    `site` where people find it, `store` PROGENY_STORE, `environment` what opens that, `version` the server's.
    """

    database: str
    redis: str
    data: str
    identity: str
    site: str
    version: str
    store: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    def word(self) -> str:
        """The opposite of `read`."""
        return PREFIX + base64.urlsafe_b64encode(json.dumps(asdict(self)).encode()).decode().rstrip("=")

    @classmethod
    def read(cls, word: str) -> Invite:
        """SetupError for anything that `word` did not write."""
        coded = word.strip().removeprefix(PREFIX)
        try:
            found = cls(**json.loads(base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4))))
        except (ValueError, TypeError) as error:
            raise SetupError(
                f"this is no invitation, or not all of it: expected {PREFIX} and some hundred letters. "
                "Get one by ./progeny invite on the server"
            ) from error
        texts = {**vars(found), "environment": ""}
        if not isinstance(found.environment, dict) or not all(
            isinstance(value, str) for value in (*texts.values(), *found.environment.values())
        ):
            raise SetupError("this invitation is damaged: get another by ./progeny invite on the server")
        return found


def through_gate(gate: Gate, address: str) -> tuple[str, str]:
    """URLs of the embedded database and queue for workers of other hosts."""
    host = f"[{address}]" if ":" in address else address
    return (
        f"postgres://{WORKER_ROLE}:{quote(gate.database_password)}@{host}:{gate.database_port}/postgres",
        f"redis://:{quote(gate.redis_password)}@{host}:{gate.redis_port}/0",
    )


def seen_from_outside(url: str, option: str, chosen: str) -> str:
    """A URL with the host, or host and port, that were chosen; SetupError where none was, and the URL's own is of this machine alone."""
    parts = urlsplit(url)
    if not chosen:
        if (parts.hostname or "") in HERE_ALONE or parts.scheme == "unix":
            raise SetupError(
                f"{parts.hostname or 'a socket'} means nothing on another machine: say {option} HOST:PORT, as it is reached from there"
            )
        return url
    who, at, _ = parts.netloc.rpartition("@")
    has_port = chosen.rpartition("]")[2].count(":") == 1
    port = f":{parts.port}" if parts.port and not has_port else ""
    return urlunsplit(parts._replace(netloc=f"{who}{at}{chosen}{port}"))
