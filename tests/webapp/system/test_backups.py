"""A backup of one moment while a run goes on, and its return: complete or absent, refused where it would lose something."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db.models.functions import Now

from merging.folders import BuiltFile, sha256_of
from tests.ledger import world
from webapp.env import SetupError
from webapp.exports.actions import request_export
from webapp.exports.models import Export
from webapp.runs.models import Attempt, Evaluation, Run
from webapp.system import backups, fsck, instance, postgres_tools
from webapp.system.models import Worker
from workers.ledger import repairs
from workers.ledger.exports import claim_export, finish_export

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def data(tmp_path: Path, settings: Any) -> Path:
    """A data folder of the test's own."""
    settings.DATA_DIR = tmp_path / "data"
    (settings.DATA_DIR / "benchmarks" / "0123").mkdir(parents=True)
    (settings.DATA_DIR / "benchmarks" / "0123" / "asked.json").write_text("{}")
    (settings.DATA_DIR / "secret.key").write_text("a key")
    return Path(settings.DATA_DIR)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return world.launch(User.objects.create(username="owner"), tmp_path)


def build(run: Run, content: str = "weights") -> Export:
    """A model for download, as a worker publishes it."""
    request_export(run.owner, run.candidates.filter(exports=None)[0])
    claim = claim_export("w1")
    assert claim
    claim.partial.mkdir(parents=True)
    (claim.partial / "model.safetensors").write_text(content)
    facts = BuiltFile("model.safetensors", len(content), sha256_of(claim.partial / "model.safetensors"))
    assert finish_export(claim, [facts])
    return Export.objects.get(pk=claim.export_id)


def found(with_hashes: bool = False) -> list[str]:
    """What fsck finds, but for a benchmark that these tests have no row for."""
    return [problem.what for problem in fsck.problems(with_hashes) if problem.what != "benchmarks/0123"]


def test_a_run_that_was_backed_up_on_its_way_goes_on_from_there_to_the_same_populations(
    run: Run, tmp_path: Path
) -> None:
    oracle = world.uninterrupted(run)
    early = build(run)
    world.work(run, n=9)
    world.take()
    n_done = run.evaluations.filter(status="done").count()
    backups.take(tmp_path / "backup")
    Evaluation.objects.filter(status="leased").update(lease_until=Now())
    repairs.reap()
    world.work(run)
    late = build(run)
    assert run.state == "done"
    newest = Attempt.objects.latest("token").token

    backups.restore(tmp_path / "backup", over=True)
    run = Run.objects.get()
    assert (run.state, run.evaluations.filter(status="done").count()) == ("running", n_done)
    assert early.folder.is_dir() and not late.folder.exists()
    assert found(with_hashes=True) == []

    Evaluation.objects.filter(status="leased").update(lease_until=Now())
    repairs.reap()
    world.work(run)
    assert world.populations(run) == oracle
    world.check(run)
    assert Attempt.objects.latest("token").token > newest + 1000  # no token is given out twice


def test_a_database_that_is_older_than_the_files_is_told_exactly(run: Run, tmp_path: Path, data: Path) -> None:
    early = build(run)
    manifest = backups.take(tmp_path / "backup")
    late = build(run, "other weights")
    postgres_tools.load(tmp_path / "backup" / "database.dump", tmp_path / "script.sql")
    assert found(with_hashes=True) == [f"exports/{late.pk}"]
    assert [problem.repair() for problem in fsck.problems() if problem.what.startswith("exports/") and problem.repair]
    assert found(with_hashes=True) == []
    assert (data / "unclaimed" / "exports" / str(late.pk) / "model.safetensors").read_text() == "other weights"
    assert f"exports/{early.pk}/model.safetensors" in manifest.files


def test_a_database_that_is_newer_than_the_files_is_told_exactly_and_models_are_built_again(run: Run) -> None:
    gone, cut, changed, whole = (build(run, f"weights {n}") for n in range(4))
    (gone.folder / "model.safetensors").unlink()
    (cut.folder / "model.safetensors").write_text("w")
    (changed.folder / "model.safetensors").write_text("WEIGHTS 2")
    assert {problem.sentence for problem in fsck.problems() if problem.what.startswith("export ")} == {
        "model.safetensors is missing",
        "model.safetensors has 1 bytes, 9 are known",
    }
    broken = [problem for problem in fsck.problems(with_hashes=True) if problem.what.startswith("export ")]
    assert {problem.what.split()[1] for problem in broken} == {str(export.pk) for export in (gone, cut, changed)}
    for problem in broken:
        assert problem.repair
        problem.repair()
    assert set(Export.objects.filter(status="pending")) == {gone, cut, changed}
    assert Export.objects.get(status="done") == whole
    assert found(with_hashes=True) == []


def test_the_command_changes_nothing_unless_told_and_ends_with_one_for_problems(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: Path
) -> None:
    monkeypatch.setattr("webapp.system.management.commands.fsck.ensure_services", lambda say: Yes())
    export = build(run)
    (export.folder / "model.safetensors").unlink()
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            call_command("fsck")
        assert ended.value.code == 1
    assert "--repair would build it again" in capsys.readouterr().out
    assert Export.objects.get().status == "done"
    call_command("fsck", repair=True)
    assert "done: build it again" in capsys.readouterr().out
    call_command("fsck")
    assert capsys.readouterr().out == "Everything is as it should be.\n"


class Yes:
    """Services that are there already."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def test_a_row_that_was_changed_by_hand_is_found(run: Run) -> None:
    world.work(run)
    candidate = run.candidates.filter(kind="evolved")[0]
    candidate.genome = [0.0 for _ in candidate.genome or ()]
    candidate.save()
    [problem] = [problem for problem in fsck.problems() if problem.what == "ledger"]
    assert "populations_intact" in problem.sentence


def test_a_restore_that_would_lose_runs_is_refused(run: Run, tmp_path: Path) -> None:
    backups.take(tmp_path / "backup")
    with pytest.raises(SetupError, match="add --over"):
        backups.restore(tmp_path / "backup")
    Worker.objects.create(name="w", device="CPU", code_version="1", started=Now(), seen=Now())
    with pytest.raises(SetupError, match="stop them"):
        backups.restore(tmp_path / "backup", over=True)
    assert Run.objects.get() == run


def test_a_backup_of_which_a_byte_has_changed_is_refused(run: Run, tmp_path: Path) -> None:
    export = build(run)
    backups.take(tmp_path / "backup")
    file = tmp_path / "backup" / "exports" / str(export.pk) / "model.safetensors"
    file.write_text("Weights")
    with pytest.raises(SetupError, match="is not what it was"):
        backups.restore(tmp_path / "backup", over=True)
    file.unlink()
    with pytest.raises(SetupError, match="is not what it was"):
        backups.restore(tmp_path / "backup", over=True)
    file.write_text("weights")
    (file.parent / "more").touch()
    with pytest.raises(SetupError, match="more is not what it was"):
        backups.restore(tmp_path / "backup", over=True)
    with pytest.raises(SetupError, match="is not a backup"):
        backups.restore(tmp_path, over=True)
    assert export.folder.is_dir()


def test_a_database_that_cannot_be_loaded_leaves_everything_as_it_was(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    export = build(run)
    backups.take(tmp_path / "backup")
    whole = postgres_tools._run

    def cut_off(name: str, *words: str) -> None:
        whole(name, *words)
        if name == "pg_restore":
            script = Path(words[-2].removeprefix("--file="))
            script.write_text(script.read_text()[: script.stat().st_size // 2] + "\nSELECT no_such_column;")

    monkeypatch.setattr(postgres_tools, "_run", cut_off)
    with pytest.raises(SetupError, match="psql failed"):
        backups.restore(tmp_path / "backup", over=True)
    assert Run.objects.get() == run
    assert export.folder.is_dir()
    assert not (data / instance.RESTORING).exists()
    assert not list(data.glob(".restore*"))


def test_a_restore_that_was_cut_off_lets_nothing_start_and_is_done_by_doing_it_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    backups.take(tmp_path / "backup")
    put_in_place = backups._put_in_place

    def killed(staged: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(backups, "_put_in_place", killed)
    with pytest.raises(KeyboardInterrupt):
        backups.restore(tmp_path / "backup", over=True)
    with pytest.raises(SetupError, match="do it again"):
        instance.check_restored(data)
    monkeypatch.setattr(backups, "_put_in_place", put_in_place)
    backups.restore(tmp_path / "backup")
    instance.check_restored(data)
    assert Run.objects.get() == run


def test_a_backup_that_fails_leaves_nothing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(backups, "_copy", no_room)
    with pytest.raises(SetupError, match="no backup was made: No space left"):
        backups.take(tmp_path / "backups" / "monday")
    assert list((tmp_path / "backups").iterdir()) == []


def test_a_backup_is_for_its_owner_only_and_has_the_key_unless_that_is_kept_elsewhere(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backups.take(tmp_path / "with")
    assert (tmp_path / "with").stat().st_mode & 0o077 == 0
    assert (tmp_path / "with" / "secret.key").read_text() == "a key"
    monkeypatch.setenv("PROGENY_SECRET_KEY", "k" * 50)
    backups.take(tmp_path / "without")
    assert "secret.key" not in json.loads((tmp_path / "without" / "backup.json").read_text())["files"]
    with pytest.raises(SetupError, match="exists already"):
        backups.take(tmp_path / "with")
