"""Bringing what a worker on another host needs into its own data folder, every byte checked. What a process of its own does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from merging.errors import MergingError
from merging.fingerprints import fingerprint
from merging.folders import flush
from webapp.store import demand
from webapp.store.caches import Cache
from webapp.store.errors import StoreError, WrongFileError
from webapp.store.hashes import algorithm_of, is_of, new_hash
from webapp.store.models import Stock
from webapp.store.needs import Need
from webapp.store.places import BLOCK_BYTES, Store

PART: Final = ".part"


def bring(need: Need, data: Path, store: str, from_store: bool = False) -> bool:
    """Have it in the data folder: from the same path on this host, if the same files lie there, otherwise from the store. False when
    another process of this host is at it.

    StoreError when it cannot be had, WrongFileError when the store has a wrong file, which is said to those who put it there.
    """
    cache = Cache(data)
    with cache.lock(need) as lock:
        if not lock.take(seconds=1):  # longer than a look
            return False
        if not cache.has(need) and (from_store or not _linked(need, cache)):
            if not store:
                raise StoreError(
                    f"{need.path} of {need.name} is not here, or has other files than on the server: mount it at this path, or set a store"
                )
            try:
                _fetch(need, cache, Store(store))
            except WrongFileError as error:
                demand.doubt(need, error.file, f"{error}.")
                raise
    return True


def _linked(need: Need, cache: Cache) -> bool:
    """Whether the server's path leads to the same files here. All bytes of a model are read; questions are compared when they are asked."""
    if not os.path.exists(need.path):  # nor is it if it may not be seen
        return False
    if need.kind == "parents":
        try:
            if fingerprint(need.path, need.digest) != need.digest:
                return False
        except (MergingError, OSError):
            return False
    cache.link(need)
    return True


def _fetch(need: Need, cache: Cache, store: Store) -> None:
    row = Stock.objects.filter(kind=need.kind, digest=need.digest, status="done").first()
    if row is None:
        raise StoreError(f"{need.name} is not in the store yet")
    expected, coming = row.hashes, cache.coming(need)
    if not is_of(need, expected) or any(Path(name).name != name for name in expected):
        raise StoreError(f"what is said to be in the store of {need.name} is another model")
    coming.mkdir(parents=True, exist_ok=True)
    cache.make_room(max(0, row.n_bytes - cache.n_bytes_coming(need)), demand.everything())
    for name, (n_bytes, hashed) in expected.items():
        if not (coming / name).exists():
            _fetch_file(need, name, (n_bytes, hashed), coming, store)
    for path in coming.iterdir():
        if path.name not in expected:
            path.unlink()
    flush(coming)
    cache.place(need).parent.mkdir(parents=True, exist_ok=True)
    coming.rename(cache.place(need))
    flush(cache.place(need).parent)


def _fetch_file(need: Need, name: str, expected: tuple[int, str], folder: Path, store: Store) -> None:
    """Go on where it was cut, and keep it when it is what it should be."""
    part, digest = folder / f"{name}{PART}", new_hash(algorithm_of(need))
    with part.open("a+b") as file:
        file.seek(0)
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
        try:
            with store.reading(need.kind, need.digest, name, file.tell()) as source:
                while block := source.read(BLOCK_BYTES):
                    file.write(block)
                    digest.update(block)
        except FileNotFoundError:
            raise WrongFileError(
                name, f"{name} of {need.name} is not in the store {store.url} any more; it is put there anew"
            ) from None
        file.flush()
        os.fsync(file.fileno())
        n_bytes = file.tell()
    if (n_bytes, digest.hexdigest()) != expected:
        part.unlink()
        raise WrongFileError(
            name,
            f"{name} of {need.name} in the store {store.url} is another file: it has {n_bytes} bytes and the {algorithm_of(need)} "
            f"{digest.hexdigest()}, expected {expected[0]} bytes and {expected[1]}; it is not used, and is put there anew",
        )
    part.rename(folder / name)
