"""Putting what somebody asked for into the store: what the process does that a worker with the data folder starts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db.models import QuerySet
from django.db.models.functions import Now

from merging.errors import MergingError, ParentError
from merging.fingerprints import take_inventory
from webapp.masking import masked
from webapp.store.errors import StoreError
from webapp.store.hashes import algorithm_of, hash_of
from webapp.store.models import Stock
from webapp.store.needs import Need
from webapp.store.places import Store

TOLD_SECONDS: Final = 1.0


class Stopped(Exception):
    """The claim is lost."""


def carry_out(stock_id: int, token: int) -> None:
    """What the process of a claimed request does, whatever comes of it; nothing is written when the claim is lost."""
    held = Stock.objects.filter(pk=stock_id, status="leased", lease_token=token)
    row = held.first()
    if row is None:
        return
    try:
        _put(row, held)
        held.update(status="done", doubted=[], finished=Now(), lease_until=None)
    except Stopped:
        return
    except StoreError as error:
        fail(held, "store", f"{error}.")
    except MergingError as error:
        fail(held, "parent", f"{error}.")
    except OSError as error:
        fail(held, "files", f"{row.path} cannot be read: {error.strerror or error}.")


def fail(held: QuerySet[Stock], kind: str, sentence: str) -> None:
    """It cannot be done, and why."""
    held.update(status="failed", failure_kind=kind, failure=masked(sentence), finished=Now(), lease_until=None)


def _put(row: Stock, held: QuerySet[Stock]) -> None:
    """Add what is not there yet. ParentError when the files are not what was asked for."""
    store, need = Store(_url()), row.need
    files = _files_of(need)
    said = [{"name": path.name, "n_bytes": n_bytes, "hash": hashed} for path, n_bytes, hashed in files]
    told = _Told(held)
    told.write(files=said, n_bytes=sum(n_bytes for _, n_bytes, _ in files), n_done=0)
    for path, n_bytes, _ in files:
        if path.name not in row.doubted and store.size(need.kind, need.digest, path.name) == n_bytes:
            told(n_bytes)
        else:
            store.put(need.kind, need.digest, path, told)
    told.write(n_done=told.n_done)


def _files_of(need: Need) -> list[tuple[Path, int, str]]:
    """Path, bytes and hash of each file; all of them are read."""
    place = Path(need.path)
    if need.kind == "benchmarks":
        paths = [place] if place.is_file() else sorted(path for path in place.iterdir() if path.is_file())
        return [(path, path.stat().st_size, hash_of(path, algorithm_of(need))) for path in paths]
    found = take_inventory(place, algorithm_of(need))
    if found.fingerprint != need.digest:
        raise ParentError(
            f"the files of {need.name} in {need.path} have changed: their fingerprint is {found.fingerprint}, expected {need.digest}"
        )
    return [(place / name, sums.n_bytes, sums.hash) for name, sums in found.files.items()]


def _url() -> str:
    if not settings.STORE:
        raise StoreError("no store is set on the server: start it with PROGENY_STORE, see docs/workers.md")
    return str(settings.STORE)


class _Told:
    """Counts the bytes that are in the store and writes them into the row, as long as that is held; Stopped when it is not."""

    def __init__(self, held: QuerySet[Stock]) -> None:
        self.n_done = 0
        self._held, self._told = held, 0.0

    def __call__(self, n: int) -> None:
        self.n_done += n
        if time.monotonic() - self._told >= TOLD_SECONDS:
            self.write(n_done=self.n_done)

    def write(self, **values: Any) -> None:
        self._told = time.monotonic()
        if self._held.update(**values) == 0:
            raise Stopped
