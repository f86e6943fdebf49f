"""The store: a folder or a bucket that the server and workers on other hosts reach alike, whatever fsspec calls by a URL.

    <PROGENY_STORE>/parents/<fingerprint>/<file>      files of models
    <PROGENY_STORE>/benchmarks/<digest>/<file>        frozen questions, their final split sealed; what opens it is never here

What a folder there holds follows from its name, so nothing is ever changed, only added; and nothing is believed that comes from it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urlsplit

from webapp.store.errors import StoreError
from webapp.store.needs import Kind

BLOCK_BYTES: Final = 8 * 1024 * 1024
S3: Final = "s3"
LOCAL: Final = "file"
_PATIENCE: Final = {"connect_timeout": 10, "read_timeout": 30, "retries": {"max_attempts": 4, "mode": "standard"}}


class Store:
    """What PROGENY_STORE names. Every method raises StoreError when it does not answer or refuses."""

    def __init__(self, url: str) -> None:
        self.url = url

    def check(self) -> None:
        """Is it there, and may it be read? An empty one is well."""
        scheme, root = self._files, self._root
        with self._asking():
            if self._scheme == LOCAL and not scheme.isdir(root):
                raise StoreError(
                    f"the store {self.url} is not there: mount it here at {root}, as it is mounted on the server"
                )
            if self._scheme == S3:
                scheme.ls(root.partition("/")[0])

    def size(self, kind: Kind, digest: str, name: str) -> int | None:
        """Bytes of a file; None when it is not there."""
        with self._asking():
            try:
                return int(self._files.info(self._path(kind, digest, name))["size"])
            except FileNotFoundError:
                return None

    def put(self, kind: Kind, digest: str, file: Path, tell: Callable[[int], None]) -> None:
        """Add a file, complete or not at all; `tell` hears how many more of its bytes are there, and may raise to end it."""
        path = self._path(kind, digest, file.name)
        with self._asking():
            if self._scheme == LOCAL:
                _put_into_folder(file, Path(path), tell)
                return
            target = self._files.open(path, "wb", block_size=BLOCK_BYTES, autocommit=False)
            try:
                _copy(file, target, tell)
                target.close()
            except BaseException:
                target.closed = True  # or it would be closed later, which sends what there is
                target.discard()
                raise
            target.commit()

    @contextmanager
    def reading(self, kind: Kind, digest: str, name: str, start: int) -> Iterator[IO[bytes]]:
        """A file from byte `start` on. FileNotFoundError when it is not there."""
        missing = False
        with self._asking():
            try:
                with self._files.open(self._path(kind, digest, name), "rb", block_size=BLOCK_BYTES) as stream:
                    stream.seek(start)
                    yield stream
            except FileNotFoundError:
                missing = True
        if missing:
            raise FileNotFoundError(name)

    @property
    def _scheme(self) -> str:
        return urlsplit(self.url).scheme

    @cached_property
    def _files(self) -> Any:
        """fsspec's file system. Lists are not remembered: others add to what is there."""
        import fsspec

        options: dict[str, Any] = {"config_kwargs": _PATIENCE} if self._scheme == S3 else {}
        with self._asking():
            return fsspec.filesystem(self._scheme, skip_instance_cache=True, use_listings_cache=False, **options)

    @cached_property
    def _root(self) -> str:
        return str(self._files._strip_protocol(self.url)).rstrip("/")

    def _path(self, kind: Kind, digest: str, name: str) -> str:
        return f"{self._root}/{kind}/{digest}/{name}"

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except _errors(self._scheme) as error:
            words = " ".join(str(error).split()) or type(error).__name__
            raise StoreError(f"the store {self.url} does not do what is asked: {words}") from error


def _put_into_folder(file: Path, path: Path, tell: Callable[[int], None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as target:
            _copy(file, target, tell)
            target.flush()
            os.fsync(target.fileno())
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)


def _copy(file: Path, target: IO[bytes], tell: Callable[[int], None]) -> None:
    with file.open("rb") as source:
        while block := source.read(BLOCK_BYTES):
            target.write(block)
            tell(len(block))


def _errors(scheme: str) -> tuple[type[Exception], ...]:
    """What can be wrong: Python's own words for it, and those of the libraries that open a bucket."""
    own = (OSError, ValueError, ImportError)
    if scheme != S3:
        return own
    from aiohttp import ClientError
    from botocore.exceptions import BotoCoreError
    from botocore.exceptions import ClientError as Refused

    return (*own, BotoCoreError, Refused, ClientError)
