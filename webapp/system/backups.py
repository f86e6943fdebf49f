"""A backup: the database as of one moment, with the files that belong to it, in a folder that is complete or absent.

    backup.json      version, moment, data folder, and size and hash of every file below
    database.dump    Postgres' custom format
    exports/         models for download that were done at that moment
    benchmarks/      frozen questions
    secret.key       what cookies are signed and tokens are sealed with, unless PROGENY_SECRET_KEY is set

Runs go on meanwhile. Parents are not in it: they stay in the folders where they were registered.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import connection
from django.utils import timezone

from merging.folders import flush, sha256_of
from webapp.env import SetupError
from webapp.exports.models import Export
from webapp.runs.models import Run
from webapp.system import instance, postgres_tools
from webapp.system.database import prepare_database
from webapp.system.status import code_version, workers

MANIFEST: Final = "backup.json"
DUMP: Final = "database.dump"
KEY: Final = "secret.key"
FOLDERS: Final = ("exports", "benchmarks")
TOKENS_SKIPPED: Final = 10**9
"""A worker that froze before the restore may wake after it: its token must not be one that is given out again."""


@dataclass(frozen=True)
class Manifest:
    """What a backup holds. `files` has the size in bytes and the SHA-256 of each."""

    version: str
    taken: str
    data_folder: str
    files: dict[str, tuple[int, str]]

    @property
    def n_bytes(self) -> int:
        return sum(n_bytes for n_bytes, _ in self.files.values())


def take(folder: Path) -> Manifest:
    """Make a backup in `folder`, which must not exist yet. SetupError, and nothing left, when it cannot be complete."""
    if folder.exists():
        raise SetupError(f"{folder} exists already: a backup is made in a folder of its own")
    beside = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True, mode=0o700)
        with postgres_tools.one_moment() as moment:
            postgres_tools.dump(beside / DUMP, moment)
            _copy_exports(beside)
        _copy(_data() / "benchmarks", beside / "benchmarks", ".*")  # a half-frozen one begins with a dot
        if (_data() / KEY).exists() and not os.environ.get("PROGENY_SECRET_KEY"):
            shutil.copy2(_data() / KEY, beside / KEY)
        manifest = Manifest(code_version(), timezone.now().isoformat(), str(_data()), _described(beside))
        (beside / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1))
        _flush_all(beside)
        beside.rename(folder)
        flush(folder.parent)
    except OSError as error:
        raise SetupError(f"no backup was made: {error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return manifest


def read(folder: Path) -> Manifest:
    """The manifest of a backup, after every file has been read and found to be what it was. SetupError names the first that is not."""
    try:
        found: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
        manifest = Manifest(**{**found, "files": {name: (n, digest) for name, (n, digest) in found["files"].items()}})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SetupError(f"{folder} is not a backup: {MANIFEST} cannot be read ({error})") from error
    here = _described(folder)
    here.pop(MANIFEST)
    for name in sorted(here.keys() | manifest.files.keys()):
        if here.get(name) != manifest.files.get(name):
            raise SetupError(f"the backup is damaged: {folder / name} is not what it was. Nothing was changed")
    return manifest


def restore(folder: Path, over: bool = False) -> Manifest:
    """Put a backup in place of what is here. Without `over`, only where there are no runs yet. SetupError when it is refused.

    Cut off at any moment, it is done by doing it again; until then no worker and no web server starts here.
    """
    manifest = read(folder)
    marker = _data() / instance.RESTORING
    was_cut_off = marker.exists()
    if not over and not was_cut_off and Run.objects.exists():
        raise SetupError(f"there are runs in {_data()}, which would be lost. If that is meant, add --over")
    if any(seen.alive for seen in workers()):
        raise SetupError("workers are at work here: stop them, and try again half a minute later")
    staged = _data() / ".restore.partial"
    try:
        _stage(folder, staged)
        marker.touch()
        flush(_data())
        try:
            postgres_tools.load(folder / DUMP, staged / "database.sql")
        except SetupError:
            if not was_cut_off:
                marker.unlink()
            raise
        _put_in_place(staged)
        prepare_database()
        _skip_tokens()
        marker.unlink()
    except OSError as error:
        raise SetupError(f"it was not restored: {error}") from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return manifest


def _stage(folder: Path, staged: Path) -> None:
    """All files of the backup on the disk of the data folder, so that nothing but renaming is left."""
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(mode=0o700)
    for name in FOLDERS:
        (staged / name).mkdir()
        _copy(folder / name, staged / name)
    if (folder / KEY).exists():
        shutil.copy2(folder / KEY, staged / KEY)
    _flush_all(staged)


def _put_in_place(staged: Path) -> None:
    for name in FOLDERS:
        shutil.rmtree(_data() / name, ignore_errors=True)
        (staged / name).rename(_data() / name)
    if (staged / KEY).exists():
        (staged / KEY).rename(_data() / KEY)
    flush(_data())


def _skip_tokens() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval('lease_seq', nextval('lease_seq') + %s)", [TOKENS_SKIPPED])


def _copy_exports(beside: Path) -> None:
    """Those that are done at this moment; one that is not whole is left to `fsck`, which names it also after a restore."""
    for export in Export.objects.filter(status="done"):
        _copy(export.folder, beside / "exports" / str(export.pk))


def _copy(source: Path, target: Path, *left_out: str) -> None:
    """A folder with all that is in it, when there is one."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(*left_out), dirs_exist_ok=True)


def _described(folder: Path) -> dict[str, tuple[int, str]]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_size, sha256_of(path)) for path in files}


def _flush_all(folder: Path) -> None:
    """It and everything below are on disk."""
    for path in (*folder.rglob("*"), folder):
        flush(path)


def _data() -> Path:
    return Path(settings.DATA_DIR)
