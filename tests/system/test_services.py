"""Commands find the services: the studio's, or a keeper's that is there for as long as somebody needs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import wait_for
from tests.system.studios import left_behind
from webapp.env import BASE_DIR

NEEDS_SERVICES = """
import django, sys, time
django.setup()
from django.contrib.auth.models import User
from webapp.system.services import ensure_services
with ensure_services(print, worker={worker}):
    print("users:", User.objects.count(), flush=True)
    {then}
"""


def start(data: Path, then: str = "pass", worker: bool = False) -> subprocess.Popen[str]:
    """A command that needs the services."""
    environment = {**os.environ, "PROGENY_DATA": str(data), "DJANGO_SETTINGS_MODULE": "webapp.settings"}
    code = NEEDS_SERVICES.format(then=then, worker=worker)
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=BASE_DIR, env=environment, stdout=subprocess.PIPE, text=True
    )


def output(command: subprocess.Popen[str]) -> str:
    said, _ = command.communicate(timeout=90)
    assert command.returncode == 0, said
    return said


def test_two_commands_at_once_share_services_and_leave_nothing_behind(tmp_path: Path) -> None:
    first, second = start(tmp_path / "data"), start(tmp_path / "data", "time.sleep(1)")
    assert "users: 0" in output(first)
    assert "users: 0" in output(second)
    assert left_behind(tmp_path / "data") == []


@pytest.mark.slow
def test_services_outlive_the_command_that_started_them_while_another_needs_them(tmp_path: Path) -> None:
    first = start(tmp_path / "data", "time.sleep(30)")
    wait_for(lambda: (tmp_path / "data" / "studio.json").exists(), "the first command has services", 60)
    second = start(tmp_path / "data", "time.sleep(3); print('still users:', User.objects.count())")
    assert second.stdout
    assert second.stdout.readline() == f"Data folder: {tmp_path / 'data'}\n"
    assert second.stdout.readline() == "users: 0\n"
    first.kill()
    first.communicate()
    assert "still users: 0" in output(second)
    assert left_behind(tmp_path / "data") == []


@pytest.mark.slow
def test_a_worker_comes_on_request(tmp_path: Path) -> None:
    then = "from webapp.system.models import Worker; print('workers:', Worker.objects.filter(stopped=None).count())"
    assert "workers: 1" in output(start(tmp_path / "data", then, worker=True))
    assert left_behind(tmp_path / "data") == []
