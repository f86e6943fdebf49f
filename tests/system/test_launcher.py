"""The launcher where something is missing: one clear line, and nothing half made."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from webapp.env import BASE_DIR


@pytest.fixture
def launcher(tmp_path: Path) -> Path:
    """The launcher in a folder of its own, without .venv."""
    for name in ("progeny", "pyproject.toml", "constraints.txt"):
        shutil.copy(BASE_DIR / name, tmp_path)
    return tmp_path / "progeny"


@pytest.fixture
def few_programs(tmp_path: Path) -> Path:
    """A folder for PATH with the shell's usual helpers only."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "dirname", "sed", "cat"):
        (folder / name).symlink_to(str(shutil.which(name)))
    return folder


def launch(launcher: Path, path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", str(launcher), *words]
    return subprocess.run(command, env={"PATH": str(path)}, capture_output=True, text=True, check=False)


def test_without_a_word_it_says_what_it_can_do(launcher: Path, few_programs: Path) -> None:
    said = launch(launcher, few_programs)
    assert said.returncode == 0
    assert "./progeny up" in said.stdout
    assert "./progeny test" in said.stdout


@pytest.mark.parametrize(("version", "found"), [(None, "none"), ("3.9.2", "Python 3.9.2")])
def test_a_missing_or_old_python_is_named_in_one_line(
    launcher: Path, few_programs: Path, version: str | None, found: str
) -> None:
    if version:
        old = few_programs / "python3"
        old.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "Python {version}"\n')
        old.chmod(0o755)
    refused = launch(launcher, few_programs, "up")
    assert refused.returncode == 1
    assert (
        refused.stderr == f"progeny: Python 3.11 or newer is needed; found here: {found}. Install it and try again.\n"
    )
    assert not (launcher.parent / ".venv").exists()


def test_a_python_that_cannot_make_an_environment_says_what_to_install(launcher: Path, few_programs: Path) -> None:
    bare = few_programs / "python3.11"
    bare.write_text('#!/bin/sh\ncase $1 in --version) echo "Python 3.11.2" ;; -c) exit 0 ;; *) exit 1 ;; esac\n')
    bare.chmod(0o755)
    refused = launch(launcher, few_programs, "up")
    assert refused.returncode == 1
    assert "apt install python3-venv" in refused.stderr
