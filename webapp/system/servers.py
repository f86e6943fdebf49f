"""What Postgres and Valkey or Redis are like here, and what they must be like so that nothing is lost. Asks, never changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import redis
from django.conf import settings
from django.db import DatabaseError, connection

from merging.words import joined
from webapp import env
from webapp.env import SetupError
from webapp.system.programs import WARNING

OLDEST_POSTGRES: Final = 14
_REDIS_SECONDS: Final = 1.0
_POSTGRES: Final = """
SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000,
       current_setting('fsync') = 'on', current_setting('full_page_writes') = 'on', current_setting('synchronous_commit') <> 'off',
       current_setting('max_connections')::int, (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')
"""


@dataclass(frozen=True)
class Postgres:
    """The database server. `synchronous_commit` is what this connection has, whatever the server's own default is."""

    version: str
    major: int
    fsync: bool
    full_page_writes: bool
    synchronous_commit: bool
    max_connections: int
    n_connections: int

    def faults(self) -> list[str]:
        """What would lose results when power is lost, with what to do about it."""
        is_on = {"fsync": self.fsync, "full_page_writes": self.full_page_writes}
        is_on["synchronous_commit"] = self.synchronous_commit
        off = [name for name, on in is_on.items() if not on]
        return [f"A power cut loses results or breaks the database: switch on {joined(off)} in Postgres"] if off else []


@dataclass(frozen=True)
class Queue:
    """The server that carries wake-ups and live updates. `max_bytes` is 0 where it has no limit of memory."""

    name: str
    version: str
    policy: str
    max_bytes: int

    def faults(self) -> list[str]:
        """What would make it forget what it was told while all seems well."""
        if self.max_bytes == 0 or self.policy == "noeviction":
            return []
        return [
            f"{self.name} has maxmemory-policy = {self.policy}: when it is full it throws wake-ups away. Set it to noeviction"
        ]


def postgres() -> Postgres:
    """The server of this installation; DatabaseError while it does not answer."""
    with connection.cursor() as cursor:
        cursor.execute(_POSTGRES)
        return Postgres(*cursor.fetchone())


def queue() -> Queue:
    """The server of this installation; RedisError while it does not answer within a second."""
    address = env.redis_address(settings.DATA_DIR).url
    with redis.Redis.from_url(address, socket_timeout=_REDIS_SECONDS, socket_connect_timeout=_REDIS_SECONDS) as client:
        server, memory = client.info("server"), client.info("memory")
    version = str(server.get("valkey_version") or server["redis_version"])
    name = str(server.get("server_name", "redis")).capitalize()
    return Queue(name, version, str(memory.get("maxmemory_policy", "noeviction")), int(memory.get("maxmemory", 0)))


def check_at_start(say: Callable[[str], None]) -> None:
    """SetupError for a Postgres that is too old; what else is wrong is said. A server that does not answer yet is waited for later."""
    for ask in (postgres, queue):
        try:
            found = ask()
        except (DatabaseError, redis.RedisError):
            continue
        if isinstance(found, Postgres) and found.major < OLDEST_POSTGRES:
            raise SetupError(f"Postgres {found.version} is too old: {OLDEST_POSTGRES} or newer is needed")
        for fault in found.faults():
            say(f"{WARNING}{fault}.")
    connection.close()
