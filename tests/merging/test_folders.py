"""Folders are complete or absent."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from merging.errors import MergingError, RoomError
from merging.folders import SUMS, abandoned, complete_or_absent, room_for, with_sums

ROOT = Path(__file__).resolve().parents[2]


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


WRITER = """
import sys
from itertools import count
from collections.abc import Iterator
from pathlib import Path
from merging.folders import complete_or_absent

print("ready", flush=True)
for i in count():
    with complete_or_absent(Path(sys.argv[1]) / f"m{i}") as partial:
        for name in "abc":
            (partial / name).write_text(f"{i}{name}" * 20_000)
"""


@pytest.mark.parametrize("n_kills", [20, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_whenever_a_process_is_killed_its_folders_are_whole_or_absent(tmp_path: Path, n_kills: int) -> None:
    rng, n_left = random.Random(0), 0
    for kill in range(n_kills):
        folder = tmp_path / str(kill)
        folder.mkdir()
        with subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, cwd=ROOT) as process:
            assert process.stdout is not None and process.stdout.readline()
            time.sleep(rng.uniform(0, 0.05))
            process.kill()
        left = abandoned(folder)
        n_left += len(left)
        for whole in set(folder.iterdir()) - set(left):
            assert whole.name.startswith("m")
            assert {one.name: one.read_text() for one in whole.iterdir()} == {
                name: f"{whole.name[1:]}{name}" * 20_000 for name in "abc"
            }
        for path in left:
            with complete_or_absent(path.with_name(path.name.split(".")[1])):
                pass
        assert abandoned(folder) == []
    assert n_left > n_kills // 4  # most kills came while something was written


def test_what_another_process_writes_is_neither_taken_from_it_nor_called_abandoned(tmp_path: Path) -> None:
    with complete_or_absent(tmp_path / "m") as partial:
        (partial / "a").write_text("a")
        with (
            pytest.raises(MergingError, match="is being written by another process"),
            complete_or_absent(tmp_path / "m"),
        ):
            pass
        assert abandoned(tmp_path) == []
    assert os.listdir(tmp_path) == ["m"] and os.listdir(tmp_path / "m") == ["a"]


def test_a_link_to_nowhere_is_in_the_way_too(tmp_path: Path) -> None:
    (tmp_path / "m").symlink_to("nowhere")
    with pytest.raises(MergingError, match="exists already"), complete_or_absent(tmp_path / "m"):
        pass


def test_an_existing_folder_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    with pytest.raises(MergingError, match="exists already"), complete_or_absent(tmp_path / "m"):
        pass
    assert os.listdir(tmp_path) == ["m"]


def test_files_are_described_by_name_size_and_hash_and_a_manifest_is_added(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"12")
    (tmp_path / "a").write_bytes(b"")
    found = {file.name: (file.n_bytes, file.sha256) for file in with_sums(tmp_path, {})}
    assert list(found) == [SUMS, "a", "b"]
    for name, (n_bytes, sha256) in found.items():
        content = (tmp_path / name).read_bytes()
        assert (n_bytes, sha256) == (len(content), hashlib.sha256(content).hexdigest())
    checked = subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=tmp_path, capture_output=True, text=True)
    assert checked.returncode == 0 and checked.stdout == "a: OK\nb: OK\n", checked.stderr


def test_a_hash_that_is_known_is_not_computed_again(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12")
    assert {file.name: file.sha256 for file in with_sums(tmp_path, {"a": "f" * 64})}["a"] == "f" * 64


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=False).returncode
    ):
        pytest.skip("this user may not mount a file system of 8 MB")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_what_does_not_fit_is_refused_before_anything_is_written(small_disk: Path) -> None:
    with (
        pytest.raises(RoomError, match=r"12\.0 MB are needed in .*disk, and 8\.\d MB are free") as caught,
        complete_or_absent(small_disk / "m") as partial,
        room_for(12_000_000, partial),
    ):
        (partial / "never.bin").touch()
    assert caught.value.needed == 12_000_000
    assert os.listdir(small_disk) == []


def test_a_disk_that_fills_up_meanwhile_leaves_nothing_and_says_what_was_needed(small_disk: Path) -> None:
    """Somebody else writes 4 MB after 6 MB were promised."""
    with (
        pytest.raises(RoomError, match=r"6\.0 MB are needed in .*disk, and 4\.\d MB are free"),
        complete_or_absent(small_disk / "m") as partial,
        room_for(6_000_000, partial),
    ):
        (partial / "begun.bin").write_bytes(bytes(2_000_000))
        (small_disk / "others.bin").write_bytes(bytes(4_000_000))
        (partial / "more.bin").write_bytes(bytes(4_000_000))
    assert os.listdir(small_disk) == ["others.bin"]


def test_what_fits_is_written(small_disk: Path) -> None:
    with complete_or_absent(small_disk / "m") as partial, room_for(6_000_000, partial):
        (partial / "all.bin").write_bytes(bytes(6_000_000))
    assert (small_disk / "m" / "all.bin").stat().st_size == 6_000_000


def test_another_error_of_the_disk_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Input/output"), room_for(1, tmp_path):
        raise OSError(5, "Input/output error")
