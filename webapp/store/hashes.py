"""How files of the store are told from others: by the hash that a model's fingerprint was made from, BLAKE3 for everything else."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

from blake3 import blake3

from merging.fingerprints import NEWEST, Algorithm, FileSums, Inventory
from webapp.store.needs import Need


def algorithm_of(need: Need) -> Algorithm:
    """By which its files are hashed."""
    return "sha256" if need.kind == "parents" and need.digest.startswith("sha256:") else NEWEST


def new_hash(algorithm: Algorithm) -> Any:
    """What takes bytes by `update` and gives 64 hex digits by `hexdigest`."""
    return hashlib.sha256() if algorithm == "sha256" else blake3()


def hash_of(path: Path, algorithm: Algorithm) -> str:
    """Of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(new_hash, algorithm)).hexdigest()


def is_of(need: Need, hashes: dict[str, tuple[int, str]]) -> bool:
    """Whether files with these bytes and hashes are what is needed. Of questions that is known when they are read."""
    if need.kind != "parents":
        return True
    files = {name: FileSums(n_bytes, hashed, {}) for name, (n_bytes, hashed) in hashes.items()}
    return Inventory(files, algorithm_of(need)).fingerprint == need.digest
