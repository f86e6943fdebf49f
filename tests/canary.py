"""A token of the Hub that the owner has in every test of the suite, and that nothing may ever tell: no log record, not even before it is
masked, no page with its headers, no file of the tests and of their services.
"""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from django.core.handlers.base import BaseHandler
from django.http import HttpRequest, HttpResponse, HttpResponseBase

CANARY = "hf_" + "CanaryOfTheWholeSuite" * 2
LARGEST = 4 * 2**20
"""Bytes of a file that is looked into; what is larger are tensors. Of the services' own files all are."""


class Listener(logging.Handler):
    """Notes what told the word."""

    def __init__(self, word: str) -> None:
        super().__init__(logging.NOTSET)
        self._word = word
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.look(f"{record.getMessage()} {error}", f"a record of {record.name}")

    def look(self, text: str, where: str) -> None:
        if self._word in text:
            self.heard.append(where)

    def read(self, request: HttpRequest, response: HttpResponseBase) -> None:
        """The answer to a request."""
        content = response.content.decode(errors="replace") if isinstance(response, HttpResponse) else ""
        self.look(f"{response.headers} {content}", f"the answer to {request.path}")


@contextmanager
def listening(word: str = CANARY) -> Iterator[Listener]:
    """Hear all records and read all pages, also those of the served site, until the block ends."""
    listener, answer, answer_later = Listener(word), BaseHandler.get_response, BaseHandler.get_response_async

    @wraps(answer)
    def read(self: Any, request: HttpRequest) -> HttpResponseBase:
        response = answer(self, request)
        listener.read(request, response)
        return response

    @wraps(answer_later)
    async def read_later(self: Any, request: HttpRequest) -> HttpResponseBase:
        response = await answer_later(self, request)
        listener.read(request, response)
        return response

    logging.getLogger().addHandler(listener)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseHandler, "get_response", read)
        patch.setattr(BaseHandler, "get_response_async", read_later)
        yield listener
    logging.getLogger().removeHandler(listener)


def telling(files: Iterable[Path], largest: float, word: str = CANARY) -> list[str]:
    """The files that hold the word."""
    return [str(file) for file in files if _tells(file, largest, word.encode())]


def _tells(file: Path, largest: float, word: bytes) -> bool:
    try:
        facts = file.lstat()
        return stat.S_ISREG(facts.st_mode) and facts.st_size <= largest and word in file.read_bytes()
    except OSError:  # gone meanwhile, or not for us
        return False
