"""Which names the site reads from a query and from a form, found by asking it: nobody has to list them, and none is forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from typing import Any, ClassVar
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from django.db import transaction
from django.http import QueryDict
from django.test import Client
from django.urls import Resolver404, resolve

from tests.access.matrix import HTTP, rows
from tests.access.world import World, body_of

_LINK = re.compile(r'\s(?:href|hx-get|data-[a-z-]+)="(/[^"]*\?[^"]*|\?[^"]*)"')


class Read(QueryDict):
    """Remembers what it was asked for."""

    names: ClassVar[set[str]] = set()

    def __getitem__(self, name: str) -> Any:
        self.names.add(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self.names.add(str(name))
        return super().__contains__(name)

    def getlist(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().getlist(name, default)


@dataclass(frozen=True)
class Asked:
    """What an address answers to: the `query` that somebody is led there with, and all `names` that are read of one."""

    path: str
    query: dict[str, Any]
    names: tuple[str, ...]


def watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on requests of a test client remember."""
    monkeypatch.setattr("django.core.handlers.wsgi.QueryDict", Read)
    monkeypatch.setattr("django.http.request.QueryDict", Read)


def pages(world: World, client: Client) -> Iterator[Asked]:
    """Every page of the table as it is, and as the links to it have it where more names are read then."""
    waiting: list[tuple[str, dict[str, Any]]] = [
        (world.address(row.route), {}) for row in rows(HTTP) if row.method == "GET"
    ]
    known, told = set(), set()
    while waiting:
        path, query = waiting.pop()
        shape = _route(path), frozenset((name, len(values)) for name, values in query.items())
        if shape in known:
            continue
        known.add(shape)
        Read.names.clear()
        answer = client.get(path, query)
        body = body_of(answer)
        names = tuple(sorted(Read.names))
        if (_route(path), names) not in told:
            told.add((_route(path), names))
            yield Asked(path, query, names)
        if answer.status_code == 302:
            waiting += _followed(path, [answer["Location"]])
        elif answer["Content-Type"].startswith("text/html"):
            waiting += _followed(path, _LINK.findall(body.decode()))


def fields(world: World) -> Iterator[tuple[Client, Asked]]:
    """Every form of the table, sent empty, and whose it is."""
    for row in rows(HTTP):
        if row.method == "POST" and row.route != "accounts:logout":
            client = world.client("admin" if row.answers["owner"] == "403" else "owner")
            Read.names.clear()
            with undone():
                client.post(world.address(row.route))
            yield client, Asked(world.address(row.route), {}, tuple(sorted(Read.names)))


@contextmanager
def undone() -> Iterator[None]:
    """What happens in the block to rows has not happened."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def _followed(path: str, links: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for link in links:
        there = urlsplit(urljoin(path, unescape(link)))
        if _route(there.path):
            yield there.path, parse_qs(there.query, keep_blank_values=True)


def _route(path: str) -> str:
    try:
        return resolve(path).view_name
    except Resolver404:
        return ""
