"""What the instance passes on of what its programs say."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from webapp.env import SetupError
from webapp.system import instance, supervisor
from webapp.system.processes import Command
from webapp.system.programs import Address, prepare_command
from webapp.system.studio import Studio

SAID = "warning: Postgres has fsync = off.\nMake the first account at http://localhost:8000/setup/x\nwarning: another one.\n"


def saying(text: str) -> Command:
    return replace(prepare_command(""), words=(sys.executable, "-c", f"print({text!r}, end='')"))


def test_warnings_of_the_preparation_are_said_and_are_not_taken_for_the_first_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    studio = Studio(tmp_path, Address("127.0.0.1", 1), said.append)
    monkeypatch.setattr(supervisor, "prepare_command", lambda url: saying(SAID))
    assert studio.prepare_database() == "Make the first account at http://localhost:8000/setup/x"
    assert [line for line in said if "warning" in line] == [
        "warning: Postgres has fsync = off.",
        "warning: another one.",
    ]
    monkeypatch.setattr(supervisor, "prepare_command", lambda url: saying("warning: alone.\n"))
    assert studio.prepare_database() == ""


def test_nothing_starts_on_a_data_folder_that_is_half_restored(tmp_path: Path) -> None:
    (tmp_path / instance.RESTORING).touch()
    with pytest.raises(SetupError, match="do it again"):
        Studio(tmp_path, Address("127.0.0.1", 1), print).launch(saying(""))
