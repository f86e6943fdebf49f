"""Whether a model of the Hub fits one that is here, before it is fetched.

Its small files and the heads of its weights are fetched into a folder where the weights are files of the right size with nothing in them.
What judges folders judges this one: it reads configurations, headers, tokenizers and cards, and no weight.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

from django.conf import settings
from django.contrib.auth.models import User

from merging.headers import MAX_HEADER_BYTES
from webapp.hub.client import Asking
from webapp.hub.errors import HubError
from webapp.hub.looks import Look, Needed
from webapp.library.fit import Pair, pairs_with
from webapp.library.models import Parent

USUAL_HEAD: Final = 128 * 1024
"""Bytes of a file of weights that are asked for first; a shard of 5 GB has a header of 20 kB."""
MAX_WEIGHTS: Final = 200
"""Files of weights that are looked into."""
MAX_SECONDS: Final = 40.0
KEPT_SECONDS: Final = 24 * 3600.0


def fit_with(user: User, asking: Asking, found: Look, parents: list[Parent]) -> list[Pair]:
    """How the model fits these, each as the first parent; HubError when its metadata cannot be had."""
    with _folder(user, asking, found) as folder:
        return pairs_with(parents, Parent(name=found.wanted.repo, folder=str(folder)))


@contextmanager
def _folder(user: User, asking: Asking, found: Look) -> Iterator[Path]:
    """The folder of a commit, made when it is not there. What not everybody may have is this user's alone."""
    exact = f"{found.wanted.repo}\0{found.commit}" + ("" if found.is_open else f"\0{user.pk}")
    shelf = Path(settings.DATA_DIR) / "hub" / "previews"
    folder = shelf / hashlib.sha256(exact.encode()).hexdigest()[:24]
    _sweep(shelf)
    if not folder.is_dir():
        beside = shelf / f".{folder.name}.{uuid4().hex}"
        beside.mkdir(parents=True)
        try:
            _fill(asking, found, beside)
            if not folder.is_dir():
                beside.rename(folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    os.utime(folder)
    yield folder


def _fill(asking: Asking, found: Look, folder: Path) -> None:
    until = time.monotonic() + MAX_SECONDS
    if sum(file.is_weights for file in found.files) > MAX_WEIGHTS:
        raise HubError(
            "unusable",
            f"{found.wanted.repo} has more than {MAX_WEIGHTS} files of weights: fetch it to see whether it fits.",
        )
    for file in found.files:
        if time.monotonic() > until:
            raise HubError("unreachable", "The Hub answers too slowly to look into the model here. Try again.")
        with (folder / file.name).open("wb") as written:
            if file.is_weights:
                written.write(_head(asking, found, file))
                written.truncate(file.n_bytes)
            else:
                written.write(
                    asking.head(found.wanted.repo, found.commit, file.name, file.n_bytes) if file.n_bytes else b""
                )


def _head(asking: Asking, found: Look, file: Needed) -> bytes:
    """A file of weights up to the end of its header, or up to what anybody reads of one."""
    first = asking.head(found.wanted.repo, found.commit, file.name, min(USUAL_HEAD, file.n_bytes))
    claimed = struct.unpack("<Q", first[:8])[0] if len(first) >= 8 else 0
    wanted = min(8 + claimed, file.n_bytes, 8 + MAX_HEADER_BYTES)
    return first[:wanted] if wanted <= len(first) else asking.head(found.wanted.repo, found.commit, file.name, wanted)


def _sweep(shelf: Path) -> None:
    """Remove what nobody has asked for in a day."""
    for path in shelf.iterdir() if shelf.is_dir() else ():
        try:
            if path.stat().st_mtime < time.time() - KEPT_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
        except FileNotFoundError:
            continue
