"""`./progeny backup`, `restore` and `fsck` as they are typed, with the embedded database."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.studios import left_behind, manage


@pytest.mark.slow
def test_a_backup_of_one_data_folder_is_restored_in_another(tmp_path: Path) -> None:
    first, second, backup = tmp_path / "first", tmp_path / "second", tmp_path / "backup"
    run = ("evolve", "--preset", "quick", "--budget", "8", "--questions", "8", "--seed", "1")
    evolved = manage(first, *run, seconds=300)
    assert evolved.returncode == 0, evolved.stderr
    taken = manage(first, "backup", str(backup))
    assert taken.returncode == 0, taken.stderr
    assert str(backup) in taken.stdout

    refused = manage(first, "restore", str(backup))
    assert (refused.returncode, "--over" in refused.stderr, refused.stderr.count("progeny: ")) == (1, True, 1)

    restored = manage(second, "restore", str(backup))
    assert restored.returncode == 0, restored.stderr
    assert str(first) in restored.stdout
    assert (second / "secret.key").read_text() == (first / "secret.key").read_text()
    looked = manage(second, "fsck", "--hash")
    assert (looked.returncode, looked.stdout) == (0, "Everything is as it should be.\n"), looked.stderr
    assert left_behind(first) == left_behind(second) == []


def test_where_nothing_has_run_there_is_nothing_to_back_up_and_nothing_is_made(tmp_path: Path) -> None:
    refused = manage(tmp_path / "data", "backup", str(tmp_path / "backup"))
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
    assert f"there is nothing to back up in {tmp_path}/data: no Progeny has run there; --data DIR" in refused.stderr
    assert list(tmp_path.iterdir()) == []
