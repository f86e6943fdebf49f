"""The embedded services where something is in their way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from webapp.env import SetupError
from webapp.system.embedded import Postgres, create_socket_folder

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data" / "postgres").mkdir(parents=True)
    return tmp_path / "data"


@pytest.fixture
def sockets(data: Path) -> Iterator[Path]:
    folder = create_socket_folder(data)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def never() -> bool:
    return False


def test_a_database_of_another_version_is_refused_with_both_versions(data: Path, sockets: Path) -> None:
    (data / "postgres" / "PG_VERSION").write_text("12\n")
    with pytest.raises(
        SetupError, match=r"made by Postgres 12, the one installed here is \d+\. Dump it with Postgres 12"
    ):
        Postgres(data, sockets).start(data / "log", never)


def test_a_folder_that_is_no_cluster_is_left_alone(data: Path, sockets: Path) -> None:
    (data / "postgres" / "diary.txt").touch()
    with pytest.raises(SetupError, match="is not a Postgres cluster: PG_VERSION is missing"):
        Postgres(data, sockets).start(data / "log", never)
    assert [file.name for file in (data / "postgres").iterdir()] == ["diary.txt"]


def test_a_start_that_is_interrupted_while_it_makes_the_cluster_leaves_none(data: Path, sockets: Path) -> None:
    (data / "postgres").rmdir()
    assert Postgres(data, sockets).start(data / "log", lambda: True) is None
    assert not (data / "postgres").exists()


@as_root
def test_root_may_keep_the_database_in_a_folder_that_only_root_can_enter(data: Path, sockets: Path) -> None:
    (data / "postgres").rmdir()
    data.parent.chmod(0o700)
    server = Postgres(data, sockets).start(data / "log", never)
    assert server is not None
    server.stop()
    assert server.exit_code() == 0
    assert (data / "postgres").stat().st_uid != 0


@as_root
def test_a_socket_folder_of_somebody_else_is_refused(data: Path, sockets: Path) -> None:
    os.chown(sockets, 12345, 12345)
    with pytest.raises(SetupError, match=f"{sockets} belongs to user 12345, not to you. Remove it"):
        create_socket_folder(data)
