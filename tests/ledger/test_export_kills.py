"""Whatever is killed while a model is written for download: what is visible is whole, and what is left over is removed."""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import F

from merging.folders import SUMS
from tests.conftest import database_url
from webapp.env import BASE_DIR
from webapp.exports.models import Export
from webapp.runs.models import Candidate, Run
from workers.ledger import exports, repairs

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def data(settings: Any, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


class Builders:
    """The program in `builders.py`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._answer("ready")

    def ask(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        self._answer("done")

    def _answer(self, word: str) -> None:
        assert self._process.stdout
        assert self._process.stdout.readline() == f"{word}\n"


@contextmanager
def builders(data: Path, *before: str) -> Iterator[Builders]:
    environment = {
        **os.environ,
        "DATABASE_URL": database_url(),
        "PROGENY_DATA": str(data),
        "DJANGO_SETTINGS_MODULE": "webapp.settings",
    }
    command = [*before, sys.executable, "-m", "tests.ledger.builders"]
    with subprocess.Popen(
        command, cwd=BASE_DIR, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield Builders(process)
        assert process.stdin
        process.stdin.close()
        assert process.wait(30) == 0


def ask_for(run: Run, owner: User, n: int) -> None:
    recipe = run.candidates.get(name="a").recipe
    for index in range(n):
        candidate = Candidate.objects.create(
            run=run, kind="baseline", index=1000 + index, name=f"x{index}", recipe=recipe, recipe_digest=f"x{index}"
        )
        Export.objects.create(owner=owner, candidate=candidate)


def check_whole(export: Export) -> None:
    """The folder is what its rows say, by its own manifest too."""
    rows = {file.name: (file.n_bytes, file.sha256) for file in export.files.all()}
    found = {path.name: path.read_bytes() for path in export.folder.iterdir()}
    assert rows == {name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in found.items()}
    listed = dict(line.split("  ")[::-1] for line in found[SUMS].decode().splitlines())
    assert listed == {name: sha256 for name, (_, sha256) in rows.items() if name != SUMS}


def janitor(data: Path) -> None:
    """What any worker does, two leases later."""
    Export.objects.filter(status="leased").update(lease_until=F("lease_until") - timedelta(hours=1))
    long_ago = time.time() - 3600
    for path in (data / "exports").iterdir():
        os.utime(path, (long_ago, long_ago))
    repairs.reap()
    repairs.sweep_exports()


@pytest.mark.parametrize("n_kills", [20, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_whenever_a_builder_is_killed_downloads_are_whole_or_absent_and_nothing_is_left(
    run: Run, owner: User, data: Path, n_kills: int
) -> None:
    rng, n_whole, n_orphans = random.Random(0), 0, 0
    (data / "exports").mkdir(exist_ok=True)
    with builders(data) as nursery:
        for _ in range(n_kills):
            ask_for(run, owner, 4)
            nursery.ask(f"kill {rng.uniform(0, 0.2)}")
            done = list(Export.objects.filter(status="done"))
            visible = {str(export.pk) for export in done}
            for export in done:
                check_whole(export)
            n_whole += len(done)
            n_orphans += len([path for path in (data / "exports").iterdir() if path.name not in visible])
            janitor(data)
            left = {path.name for path in (data / "exports").iterdir()} - visible
            pending = set(map(str, Export.objects.filter(status="pending").values_list("pk", flat=True)))
            assert left <= pending, "a folder that was renamed and never committed is replaced by the next attempt"
            assert not Export.objects.filter(status="leased").exists()
            Export.objects.all().delete()
            run.candidates.filter(name__startswith="x").delete()
            janitor(data)
            assert list((data / "exports").iterdir()) == []
    assert n_orphans > n_kills // 10 and n_whole > n_kills // 10, "kills came while something was written, and after"


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_files_are_on_the_disk_before_their_names_and_names_before_the_row(
    run: Run, owner: User, data: Path, tmp_path: Path
) -> None:
    """fsync of every file, fsync of the folder, rename, fsync of the folder above, twice; only then COMMIT."""
    ask_for(run, owner, 1)
    log = tmp_path / "trace"
    calls = "trace=fsync,rename,renameat,renameat2,sendto,write,pwrite64"
    with builders(data, "strace", "-f", "-y", "-s", "200", "-e", calls, "-o", str(log)) as nursery:
        nursery.ask("build")
    export = Export.objects.get()
    check_whole(export)
    lines = [line.split(maxsplit=1)[1] for line in log.read_text().splitlines() if "resumed>" not in line]
    renames = [i for i, line in enumerate(lines) if line.startswith("rename")]
    [first, second] = [i for i in renames if str(export.pk) in lines[i]]
    assert ".partial" in lines[first] and lines[second].split('", "')[1].startswith(str(export.folder))
    synced = [(i, re.search(r"<(.*)>", line)) for i, line in enumerate(lines) if line.startswith("fsync")]
    flushed = {found[1]: i for i, found in reversed(synced) if found}
    folder = str(export.folder)
    partial = next(path for path in flushed if path.endswith(".partial"))
    for name in export.files.values_list("name", flat=True):
        assert flushed[f"{partial}/{name}"] < flushed[partial], "files, then their folder"
    assert flushed[partial] < first < second
    above = [i for i, found in synced if found and found[1] == str(exports.folder())]
    assert first < above[0] < second < above[1]
    writes = [i for i, line in enumerate(lines) if partial in line and line.startswith(("write", "pwrite64"))]
    assert max(writes) < flushed[partial]
    published = next(
        i for i, line in enumerate(lines) if line.startswith("sendto") and 'INSERT INTO \\"exports_exportfile' in line
    )
    commit = next(i for i, line in enumerate(lines) if i > published and line.startswith("sendto") and "COMMIT" in line)
    assert above[1] < published < commit, folder
