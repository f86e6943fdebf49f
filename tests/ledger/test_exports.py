"""Models for download: visible when they are whole, and published by the holder of the lease only."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, OperationalError, transaction
from django.db.models import F
from django.db.models.functions import Now

from merging.folders import BuiltFile
from tests.ledger import world
from webapp.exports.models import Export
from webapp.leases import MAX_ATTEMPTS
from webapp.runs.models import Run
from workers import exporting, failpoints
from workers.failures import Failure
from workers.ledger import claims, exports, repairs
from workers.ledger.exports import ExportClaim

pytestmark = pytest.mark.django_db

README = BuiltFile("README.md", 4, "0" * 64)
CRASH = Failure("worker", "killed", "The device process was killed.")


@pytest.fixture(autouse=True)
def data(settings: object, tmp_path: Path) -> Iterator[Path]:
    settings.DATA_DIR = tmp_path  # type: ignore[attr-defined]
    yield tmp_path


@pytest.fixture
def export(run: Run, owner: User) -> Export:
    return Export.objects.create(owner=owner, candidate=run.candidates.get(name="a"))


def built(word: str = "text") -> ExportClaim:
    """A claim whose model has been written."""
    claim = exports.claim_export("w1")
    assert claim is not None
    claim.partial.mkdir(parents=True)
    (claim.partial / "README.md").write_text(word)
    return claim


def expire(export: Export) -> None:
    Export.objects.filter(pk=export.pk).update(lease_until=F("lease_until") - timedelta(hours=1))


def test_a_finished_export_is_a_folder_and_its_files(export: Export) -> None:
    claim = built()
    assert exports.finish_export(claim, [README])
    export.refresh_from_db()
    assert (export.status, export.n_bytes, export.progress) == ("done", 4, 1.0)
    assert [(file.name, file.n_bytes) for file in export.files.all()] == [("README.md", 4)]
    assert (exports.folder() / str(export.pk) / "README.md").read_text() == "text"
    assert not claim.partial.exists()


def test_a_database_that_is_lost_after_the_rename_is_asked_again(export: Export) -> None:
    claim = built()
    failpoints.arm("after_rename:lose")
    try:
        with pytest.raises(OperationalError):
            exports.finish_export(claim, [README])
    finally:
        failpoints.arm("")
    assert exports.finish_export(claim, [README])
    assert (claim.final / "README.md").read_text() == "text"


def test_one_that_was_removed_as_it_was_claimed_is_not_built(export: Export) -> None:
    claim = exports.claim_export("w1")
    export.delete()
    assert claim
    exporting.build(claim, None)  # type: ignore[arg-type]  # nothing is asked of a device


def test_an_export_is_claimed_once(export: Export) -> None:
    assert exports.claim_export("w1") is not None
    assert exports.claim_export("w2") is None


def test_a_zombie_can_neither_publish_nor_overwrite(export: Export) -> None:
    zombie = built("zombie")
    expire(export)
    repairs.reap()
    heir = built("heir")
    assert exports.finish_export(heir, [README])
    assert not exports.finish_export(zombie, [README])
    assert (heir.final / "README.md").read_text() == "heir"
    assert not zombie.partial.exists()


def test_a_lost_reply_does_not_spoil_what_is_published(export: Export) -> None:
    claim = built()
    assert exports.finish_export(claim, [README])
    assert exports.finish_export(claim, [README])
    assert (claim.final / "README.md").exists()


def test_a_folder_of_an_attempt_that_never_committed_is_replaced(export: Export) -> None:
    stale = exports.folder() / str(export.pk)
    stale.mkdir(parents=True)
    (stale / "half.safetensors").touch()
    claim = built()
    exports.finish_export(claim, [README])
    assert [path.name for path in claim.final.iterdir()] == ["README.md"]


def test_a_failed_export_leaves_nothing_but_its_reason(export: Export) -> None:
    claim = built()
    assert exports.fail_export(claim, Failure("run", "disk", "The disk is full."))
    export.refresh_from_db()
    assert (export.status, export.failure_kind, export.failure) == ("failed", "disk", "The disk is full.")
    assert list(exports.folder().iterdir()) == []


def test_three_crashes_are_the_end_of_it(export: Export) -> None:
    for _ in range(MAX_ATTEMPTS):
        exports.give_back_export(built(), CRASH)
    export.refresh_from_db()
    assert (export.status, export.failure_kind) == ("failed", "poison")


def test_one_that_was_given_back_is_claimed_again_without_penalty(export: Export) -> None:
    exports.give_back_export(built())
    built()
    export.refresh_from_db()
    assert export.attempts == 1


def test_progress_shows_while_the_lease_holds(export: Export) -> None:
    claim = built()
    exports.report_export(claim, "write", 0.5)
    export.refresh_from_db()
    assert (export.stage, export.progress) == ("write", 0.5)
    expire(export)
    repairs.reap()
    exports.report_export(claim, "write", 0.9)
    export.refresh_from_db()
    assert export.progress == 0.0


def test_leases_of_exports_are_renewed_like_all_others(export: Export) -> None:
    claim = built()
    assert claims.renew(claim.lease)
    expire(export)
    repairs.reap()
    assert not claims.renew(claim.lease)


def made_long_ago(*names: str) -> list[Path]:
    """Folders of exports that are older than two leases."""
    long_ago = time.time() - 3600
    paths = [exports.folder() / name for name in names]
    for path in paths:
        path.mkdir(parents=True, exist_ok=True)
        os.utime(path, (long_ago, long_ago))
    return paths


def left() -> set[str]:
    return {path.name for path in exports.folder().iterdir()}


def test_orphans_are_swept_and_nothing_else(export: Export) -> None:
    claim = built()
    names = [f"{claim.final.name}.999", f".{claim.final.name}.999.partial", f".{claim.partial.name}.partial"]
    made_long_ago(claim.final.name, *names, claim.partial.name, "mine", "mine.bak")
    fresh = exports.folder() / f"{claim.final.name}.1000"
    fresh.mkdir()
    assert repairs.sweep_exports() == 2
    assert left() == {claim.final.name, claim.partial.name, names[2], fresh.name, "mine", "mine.bak"}


def test_folders_of_exports_that_are_gone_or_failed_are_swept(export: Export) -> None:
    failed = built()
    exports.fail_export(failed, CRASH)
    made_long_ago(str(uuid4()), failed.final.name)
    assert repairs.sweep_exports() == 2 and left() == set()


def test_a_finished_export_is_never_swept(export: Export) -> None:
    exports.finish_export(built(), [README])
    made_long_ago(str(export.pk))
    assert repairs.sweep_exports() == 0 and left() == {str(export.pk)}


def test_downloads_of_a_deleted_run_are_swept_unless_a_run_is_made_from_them(
    export: Export, run: Run, owner: User, tmp_path: Path, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    exports.finish_export(built(), [README])
    later = world.launch(owner, tmp_path)
    parents = [{**later.config["parents"][0], "folder": str(export.folder)}, *later.config["parents"][1:]]
    Run.objects.filter(pk=later.pk).update(config=later.config | {"parents": parents})
    Run.objects.filter(pk=run.pk).update(deleted_at=Now())
    repairs.sweep_exports()
    assert export.folder.exists()
    Run.objects.filter(pk=later.pk).update(deleted_at=Now())
    with django_capture_on_commit_callbacks(execute=True):
        repairs.sweep_exports()
    assert not export.folder.exists() and not Export.objects.exists()


def test_a_finished_export_never_changes(export: Export) -> None:
    exports.finish_export(built(), [README])
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
        Export.objects.update(n_bytes=5)
