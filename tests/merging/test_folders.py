"""Folders are complete or absent."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from merging.errors import MergingError
from merging.folders import built_files, complete_or_absent


def test_a_finished_folder_has_its_place_and_nothing_beside_it(tmp_path: Path) -> None:
    with complete_or_absent(tmp_path / "m") as partial:
        (partial / "a.txt").write_text("a")
        assert not (tmp_path / "m").exists()
    assert os.listdir(tmp_path) == ["m"] and (tmp_path / "m" / "a.txt").read_text() == "a"


def test_a_finished_file_can_be_read_by_others(tmp_path: Path) -> None:
    with complete_or_absent(tmp_path / "m") as partial:
        (partial / "a.txt").touch(mode=0o600)
    assert (tmp_path / "m" / "a.txt").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_folder_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), complete_or_absent(tmp_path / "m") as partial:
        (partial / "a.txt").write_text("a")
        raise error
    assert os.listdir(tmp_path) == []


def test_a_killed_process_leaves_no_folder_and_the_next_attempt_succeeds(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from merging.folders import complete_or_absent\n"
        "with complete_or_absent(Path(sys.argv[1])) as p: (p / 'old').write_text('x'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "m")], check=False)
    assert done.returncode == -signal.SIGKILL and not (tmp_path / "m").exists()
    with complete_or_absent(tmp_path / "m") as partial:
        (partial / "new").write_text("y")
    assert os.listdir(tmp_path) == ["m"] and os.listdir(tmp_path / "m") == ["new"]


def test_an_existing_folder_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    with pytest.raises(MergingError, match="exists already"), complete_or_absent(tmp_path / "m"):
        pass
    assert os.listdir(tmp_path) == ["m"]


def test_built_files_are_described_by_name_size_and_hash(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"12")
    (tmp_path / "a").write_bytes(b"")
    found = [(file.name, file.n_bytes, file.sha256) for file in built_files(tmp_path)]
    assert found == [(name, len(text), hashlib.sha256(text).hexdigest()) for name, text in (("a", b""), ("b", b"12"))]
