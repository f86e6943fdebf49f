"""What the instance passes on of what its programs say."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import wait_for
from webapp.env import SetupError
from webapp.system import instance, supervisor
from webapp.system.embedded import create_socket_folder
from webapp.system.locks import FileLock
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


def test_a_command_that_was_told_no_data_folder_is_refused_while_a_studio_runs_on_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "default", tmp_path / "there"
    there.mkdir()
    sockets = create_socket_folder(there)
    monkeypatch.delenv("PROGENY_DATA")
    try:
        instance.leave_note(there, sockets)
        instance.check_chosen(here)  # that studio was killed: nobody holds its folder
        with FileLock(there / "instance.lock") as lock:
            assert lock.take()
            with pytest.raises(
                SetupError, match=f"Progeny runs on {there}, and this would use {here}: say --data {there}"
            ):
                instance.check_chosen(here)
            instance.check_chosen(there)
            monkeypatch.setenv("PROGENY_DATA", str(here))
            instance.check_chosen(here)
    finally:
        shutil.rmtree(sockets)
    assert not here.exists()


def test_a_studio_says_when_its_worker_has_loaded_and_starts_for_two_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    studio = Studio(tmp_path, Address("127.0.0.1", 1), said.append)
    with FileLock(tmp_path / "instance.lock") as lock:
        assert lock.take()
        assert instance.is_starting(tmp_path)
        studio.turn()
        assert instance.is_starting(tmp_path)
        monkeypatch.setattr(instance, "START_SECONDS", 0.0)
        assert not instance.is_starting(tmp_path)
        studio.workers = [studio.launch(saying("INFO workers.runtime: the device process 17 has loaded\n"))]
        wait_for(lambda: studio.workers[0].child.exit_code() is not None, "it has said so")
        studio.turn()
        studio.turn()
        studio.workers[0].child.stop()
    assert not instance.is_starting(tmp_path)
    assert [line.split()[:2] for line in said] == [["prepare", "ready"]]
