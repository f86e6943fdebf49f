"""Fingerprints of model folders, computed in threads while other work goes on: sha256 leaves the interpreter free. No torch."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from merging.errors import ParentError
from merging.indexes import FINGERPRINTED, file_hash, fingerprint
from merging.recipes import Parent, Recipe

UNREAD = ""
"""The fingerprint of a parent whose files are still being read."""


class Fingerprints:
    """Starts early, answers late. Leaving the block drops what nobody waits for any more."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(os.cpu_count(), "fingerprints")
        self._hashes: dict[str, list[Future[str]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(cancel_futures=True)

    def start(self, folder: str) -> None:
        """Begins to hash a folder's files, unless that has begun. OSError when it cannot be listed."""
        if folder not in self._hashes:
            files = [path for path in Path(folder).iterdir() if path.suffix in FINGERPRINTED and path.is_file()]
            self._hashes[folder] = [self._threads.submit(file_hash, path) for path in files]

    def completed(self, recipe: Recipe) -> Recipe:
        """The recipe with all its fingerprints; waits for those still unread.

        ParentError when one that the recipe knew is another now.
        """
        base = None if recipe.base is None else self._completed(recipe.base)
        return replace(recipe, base=base, parents=tuple(self._completed(parent) for parent in recipe.parents))

    def _completed(self, parent: Parent) -> Parent:
        self.start(parent.folder)
        for hashed in self._hashes[parent.folder]:
            hashed.result()
        found = fingerprint(parent.folder)
        if parent.fingerprint not in (UNREAD, found):
            raise ParentError(
                f"the files of {parent.name} in {parent.folder} have changed since the recipe was made: their fingerprint is "
                f"{found}, expected {parent.fingerprint}; get the files again, or make the recipe anew"
            )
        return replace(parent, fingerprint=found)
