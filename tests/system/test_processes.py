"""Children end with their parent, and locks with their process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import is_alive, wait_for
from webapp.env import BASE_DIR, SetupError
from webapp.system.locks import FileLock, is_held, is_held_alone
from webapp.system.processes import Child, Command, run, wait_until


def python(code: str, **options: object) -> Command:
    return Command("test program", (sys.executable, "-c", code), **options)  # type: ignore[arg-type]


def test_a_child_that_ignores_its_stop_signal_is_killed_with_its_own_children(tmp_path: Path) -> None:
    code = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid, flush=True)
time.sleep(60)
"""
    child = Child(python(code, stop_seconds=0.2), tmp_path / "log")
    wait_for(lambda: child.written().strip().isdigit(), "the child has a child")
    child.stop()
    assert child.exit_code() == -signal.SIGKILL
    wait_for(lambda: not is_alive(int(child.written())), "its child has ended too")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
def test_a_child_dies_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
from webapp.system.processes import Child, Command
print(Child(Command("sleeper", (sys.executable, "-c", "import time; time.sleep(60)")), Path({str(tmp_path / "log")!r})).pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=BASE_DIR, stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    child = int(parent.stdout.readline())
    assert is_alive(child)
    parent.kill()
    parent.communicate()
    wait_for(lambda: not is_alive(child), "the child has ended")


def test_waiting_for_a_child_that_ends_says_what_it_said(tmp_path: Path) -> None:
    child = Child(python("print('no room on disk'); raise SystemExit(3)"), tmp_path / "log")
    with pytest.raises(SetupError, match=f"test program ended during start: no room on disk \\(see {tmp_path}/log\\)"):
        wait_until(lambda: False, child, 10, lambda: False)
    child.stop()


def test_a_run_that_is_interrupted_ends_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    run(python("import time; time.sleep(60)"), tmp_path / "log", lambda: time.monotonic() - began > 0.2)
    assert time.monotonic() - began < 30


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"nothing cannot be started: .*No such file"):
        Child(Command("nothing", (str(tmp_path / "nothing"),)), tmp_path / "log")


def test_a_lock_is_shared_or_held_alone(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with FileLock(file) as one, FileLock(file) as two:
        one.share()
        two.share()
        assert is_held(file)
        assert not is_held_alone(file)
        assert not one.take()
        two.release()
        two = FileLock(file)
        assert one.take()
        assert is_held_alone(file)
    assert not is_held(file)


def test_a_lock_ends_with_its_process_however_it_ends(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from webapp.system.locks import FileLock
FileLock(Path({str(tmp_path / "lock")!r})).take()
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=BASE_DIR, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not is_held(tmp_path / "lock")


def test_a_lock_survives_the_change_of_program(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from webapp.system.locks import FileLock
from webapp.system.processes import Command
lock = FileLock(Path({str(tmp_path / "lock")!r}))
lock.take()
lock.keep_over_exec()
Command("sleeper", (sys.executable, "-c", "print(1, flush=True); import time; time.sleep(60)")).become()
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=BASE_DIR, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"1\n"
    assert is_held(tmp_path / "lock")
    process.kill()
    process.communicate()
    assert not is_held(tmp_path / "lock")
    assert os.path.exists(tmp_path / "lock")
