"""What this installation can say about itself: services, workers, data folder, version.

Asks, never changes; every answer has a time limit.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models.functions import Now

from webapp import env
from webapp.system.models import Worker

ALIVE: Final = timedelta(seconds=30)
RESERVE_BYTES: Final = 2 * 10**9
_REDIS_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Check:
    """One thing that must work. `consequence` says what its absence means and what to do."""

    name: str
    works: bool
    found: str
    consequence: str = ""


@dataclass(frozen=True)
class Seen:
    """A worker; `alive` when it has reported within half a minute by the database's clock."""

    worker: Worker
    alive: bool


def database() -> Check:
    """Does Postgres answer?"""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW server_version")
            (found,) = cursor.fetchone()
    except DatabaseError as error:
        return Check(
            "Database", False, str(error).strip().splitlines()[0], "Nothing works without it. Start Postgres again."
        )
    return Check("Database", True, f"Postgres {found}")


def broker() -> Check:
    """Does Redis or Valkey answer?"""
    client = redis.Redis.from_url(
        env.redis_address(settings.DATA_DIR).url, socket_timeout=_REDIS_SECONDS, socket_connect_timeout=_REDIS_SECONDS
    )
    try:
        found = client.info("server")
    except redis.RedisError as error:
        return Check(
            "Queue", False, str(error), "Runs go on, but slower, and pages fall back to polling. Start Valkey again."
        )
    finally:
        client.close()
    name = found.get("server_name", "redis").capitalize()
    return Check("Queue", True, f"{name} {found.get('valkey_version') or found['redis_version']}")


def disk() -> Check:
    """Is there room in the data folder?"""
    folder = Path(settings.DATA_DIR)
    usage = shutil.disk_usage(folder)
    found = f"{usage.free / 1e9:.1f} GB free of {usage.total / 1e9:.1f} GB"
    if usage.free < RESERVE_BYTES:
        return Check("Disk", False, found, f"Downloads need room. Free some space where {folder} lies.")
    return Check("Disk", True, found)


def workers() -> list[Seen]:
    """Every worker that has not stopped, the latest seen first."""
    rows = Worker.objects.filter(stopped=None).annotate(now=Now()).order_by("-seen")[:50]
    return [Seen(row, row.now - row.seen < ALIVE) for row in rows]


def code_version() -> str:
    """The version of Progeny, as installed or as written in the checkout."""
    try:
        return version("progeny")
    except PackageNotFoundError:
        lines = (env.BASE_DIR / "pyproject.toml").read_text().splitlines()
        return next(line.split('"')[1] for line in lines if line.startswith("version"))
