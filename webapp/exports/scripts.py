"""A program that fetches an export to another machine, goes on where it was cut, and checks every file: sh, curl and sha256sum.

It brings a key of its own, which opens the files of this one export for a week, as long as whoever asked for it may see them.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.core import signing
from django.urls import reverse

from webapp.exports.models import Export

DAYS: Final = 7
SALT: Final = "exports.key"
SCRIPT: Final = """\
#!/bin/sh
# Fetches {title} into the folder {folder}, or into the one that is given.
# Run it again after a cut: it goes on where it stopped. The key in it opens these files and nothing else, for {days} days.
set -eu
to=${{1:-{folder}}}
from={address}
mkdir -p "$to"
cd "$to"
if command -v sha256sum >/dev/null; then sums="sha256sum"; else sums="shasum -a 256"; fi
fetch() {{ # name, sha256, bytes
    if [ -f "$1" ] && printf '%s  %s\\n' "$2" "$1" | $sums -c - >/dev/null 2>&1; then echo "$1: here"; return; fi
    if [ ! -f "$1.part" ] || [ "$(wc -c <"$1.part")" -lt "$3" ]; then
        curl --fail --location --silent --show-error --retry 5 --retry-delay 2 --continue-at - --output "$1.part" "$from$4"
    fi
    if printf '%s  %s\\n' "$2" "$1.part" | $sums -c - >/dev/null; then mv "$1.part" "$1"; echo "$1: fetched"
    else rm "$1.part"; echo "$1: not the file that was built; removed, run this again" >&2; exit 1; fi
}}
{fetches}
echo "All {n} files are here and are what was built."
"""


@dataclass(frozen=True)
class Opened:
    """What a key opens, and in whose name."""

    export_id: UUID
    user_id: int


def key_for(export: Export, user_id: int) -> str:
    """Opens the files of the export for `DAYS`, in this person's name."""
    return signing.dumps([str(export.pk), user_id], salt=SALT, compress=False)


def opened(key: str) -> Opened | None:
    """What a key opens; None for one that is too old, or none of ours."""
    try:
        export_id, user_id = signing.loads(key, salt=SALT, max_age=DAYS * 86400)
    except signing.BadSignature:
        return None
    return Opened(UUID(export_id), user_id)


def script(export: Export, user_id: int, origin: str, folder: str) -> str:
    """For a finished export; `origin` is how this server is reached, such as https://progeny.example.org."""
    key, files = key_for(export, user_id), list(export.files.all())
    paths = [reverse("exports:keyed", args=[export.pk, key, file.name]) for file in files]
    lines = [
        f"fetch {shlex.quote(file.name)} {file.sha256} {file.n_bytes} {shlex.quote(path)}"
        for file, path in zip(files, paths, strict=True)
    ]
    title = " ".join(str(export).split())
    return SCRIPT.format(
        title=title,
        folder=shlex.quote(folder),
        days=DAYS,
        address=shlex.quote(origin),
        fetches="\n".join(lines),
        n=len(files),
    )
