"""How log records are written: a line of text for people, or a line of JSON for machines (PROGENY_LOG=json).

Names and messages come from users and from model files. Whatever they hold, a record stays one line: control characters are escaped, and
what belongs below a line of text, such as a traceback, is marked as such.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from django.db import InterfaceError, OperationalError

from webapp.env import LogForm

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_about: ContextVar[Mapping[str, str]] = ContextVar("about", default=MappingProxyType({}))


@contextmanager
def about(**ids: object) -> Iterator[None]:
    """Records of the block, and of what it awaits, say what they are about: `run`, `candidate`, `export`, `attempt`, `route`."""
    token = _about.set({**_about.get()} | {name: str(value) for name, value in ids.items() if value is not None})
    try:
        yield
    finally:
        _about.reset(token)


class TextFormatter(logging.Formatter):
    """`2026-01-31 12:00:00,123 WARNING workers.pipeline [run=… candidate=…]: message`; what follows has a bar before every line."""

    def format(self, record: logging.LogRecord) -> str:
        ids = " ".join(f"{name}={escaped(value)}" for name, value in _about.get().items())
        head = f"{self.formatTime(record)} {record.levelname} {record.name}{f' [{ids}]' if ids else ''}"
        return "\n    | ".join([f"{head}: {escaped(_message(record))}", *map(escaped, _below(self, record))])


class JsonFormatter(logging.Formatter):
    """One object a line: time (UTC), level, logger, message, what it is about, and `error` with the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
            "process": record.process,
            **_about.get(),
        }
        if below := _below(self, record):
            line["error"] = "\n".join(below)
        return json.dumps(line)


def configuration(form: LogForm) -> dict[str, Any]:
    """For Django's LOGGING. The web server's own records are written in the same way."""
    formatter = JsonFormatter if form == "json" else TextFormatter
    ours = {name: {"level": "INFO"} for name in ("webapp", "workers", "celery")}
    servers = {name: {"level": "WARNING", "handlers": [], "propagate": True} for name in ("uvicorn", "uvicorn.error")}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": formatter}},
        "handlers": {"console": {"class": "webapp.masking.MaskedHandler", "formatter": "line"}},
        "root": {"handlers": ["console"], "level": "WARNING"},
        "loggers": {**ours, **servers, "django": {"handlers": [], "propagate": True}},
    }


def escaped(text: str) -> str:
    """The text on one line, as anybody's terminal can show it: control characters and changes of direction as `\\x1b`, `\\n`, `\\u202e`."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _message(record: logging.LogRecord) -> str:
    """What it says; with the database's own words where the traceback of a database that is away is left out."""
    error = record.exc_info[1] if record.exc_info else None
    return f"{record.getMessage()}: {error}" if _is_away(error) else record.getMessage()


def _below(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    """The lines of the traceback. A database that is away is no defect, and every request and every pulse meets it."""
    if record.exc_info and record.exc_info[1] is not None and not _is_away(record.exc_info[1]):
        return formatter.formatException(record.exc_info).splitlines()
    return record.stack_info.splitlines() if record.stack_info else []


def _is_away(error: BaseException | None) -> bool:
    return isinstance(error, OperationalError | InterfaceError)
