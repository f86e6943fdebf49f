"""The command lines of the house: a worker for each device, a web server that answers to its names."""

from __future__ import annotations

import socket
from contextlib import nullcontext
from pathlib import Path

import pytest

from webapp.env import SetupError
from webapp.system.programs import Address, visible_gpus, web_command, worker_commands

TWO_GPUS = """#!/bin/sh
echo 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1b2c)'
echo 'GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-3d4e)'
echo '  MIG 1g.10gb Device 0: (UUID: MIG-5f6a)'
"""


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver's tool that lists two GPUs."""
    (tmp_path / "nvidia-smi").write_text(TWO_GPUS)
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("two_gpus")
def test_each_gpu_has_a_worker_that_sees_only_it() -> None:
    workers = worker_commands()
    assert [worker.name for worker in workers] == ["worker-gpu0", "worker-gpu1"]
    assert [worker.environment for worker in workers] == [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}]
    assert "gpu1@%h" in workers[1].words


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_the_processor_has_a_worker() -> None:
    assert [worker.name for worker in worker_commands()] == ["worker-cpu"]


@pytest.mark.usefixtures("no_gpu")
def test_several_workers_share_the_cores_of_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setenv("PROGENY_CPU_WORKERS", "3")
    workers = worker_commands()
    assert [worker.name for worker in workers] == ["worker-cpu0", "worker-cpu1", "worker-cpu2"]
    assert [worker.environment for worker in workers] == [{"OMP_NUM_THREADS": "2"}] * 3


@pytest.mark.usefixtures("two_gpus")
def test_workers_for_the_processor_are_for_machines_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROGENY_CPU_WORKERS", "3")
    assert len(worker_commands()) == 2


@pytest.mark.usefixtures("no_gpu")
def test_vllm_is_refused_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROGENY_ENGINE", "vllm")
    with pytest.raises(SetupError, match="needs a GPU, and none is visible here: see"):
        worker_commands()


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("is_installed", [True, False])
def test_vllm_is_refused_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch, is_installed: bool) -> None:
    monkeypatch.setenv("PROGENY_ENGINE", "vllm")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if is_installed else None)
    with nullcontext() if is_installed else pytest.raises(SetupError, match="needs an installation of its own"):
        assert len(worker_commands()) == 2


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(("chosen", "expected"), [("1", ["1"]), ("1,0", ["1", "0"]), ("", []), ("-1", [])])
def test_who_chooses_gpus_gets_these(monkeypatch: pytest.MonkeyPatch, chosen: str, expected: list[str]) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert visible_gpus() == expected


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("::1", "http://[::1]:8000"),
        ("progeny.local", "http://progeny.local:8000"),
    ],
)
def test_an_address_can_be_opened(host: str, url: str) -> None:
    assert Address(host, 8000).url == url


def test_an_address_for_everyone_names_this_machine_and_answers_to_its_name() -> None:
    address = Address("0.0.0.0", 8000)
    assert "0.0.0.0" not in address.url
    assert socket.gethostname() in web_command(address).environment["PROGENY_HOSTS"].split(",")


def test_the_public_address_is_the_one_to_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROGENY_URL", "https://progeny.example.org/")
    assert Address("127.0.0.1", 8000).url == "https://progeny.example.org"


def test_a_port_that_is_taken_is_refused_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            SetupError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use\. Choose .* --port N"
        ):
            Address("127.0.0.1", port).check_free()
