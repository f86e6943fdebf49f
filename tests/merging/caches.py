"""Model folders as the Hub's own library keeps them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from merging.indexes import SINGLE


def in_the_hub_s_cache(folder: Path, cache: Path) -> Path:
    """The folder as the Hub's library keeps it: blobs by hash, and a snapshot of links to them."""
    snapshot = cache / "models--org--m" / "snapshots" / "0123abc"
    blobs = snapshot.parent.parent / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for file in folder.iterdir():
        content = file.read_bytes()
        as_git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        name = hashlib.sha256(content).hexdigest() if file.name == SINGLE else as_git
        (blobs / name).write_bytes(content)
        (snapshot / file.name).symlink_to(f"../../blobs/{name}")
    return snapshot
