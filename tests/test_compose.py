"""docker-compose.yml: valid, and every command in it does outside Docker what it is there for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from tests.conftest import database_url, free_port, wait_for
from webapp.env import BASE_DIR

COMPOSE: dict[str, Any] = yaml.safe_load((BASE_DIR / "docker-compose.yml").read_text())


def check_schema(schema: str, file: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(file)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("vendor.compose-spec", "docker-compose.yml"),
        ("vendor.compose-spec", "docker-compose.workers.yml"),
        ("vendor.github-workflows", ".github/workflows/ci.yml"),
    ],
)
def test_the_file_keeps_its_schema(schema: str, file: str) -> None:
    done = check_schema(schema, BASE_DIR / file)
    assert done.returncode == 0, done.stdout


def test_the_schema_notices_a_misspelt_key(tmp_path: Path) -> None:
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text((BASE_DIR / "docker-compose.yml").read_text().replace("stop_grace_period", "stop_grace"))
    assert check_schema("vendor.compose-spec", wrong).returncode == 1


def test_every_service_that_others_wait_for_has_what_they_wait_for() -> None:
    waits = {
        (name, on["condition"])
        for service in COMPOSE["services"].values()
        for name, on in service.get("depends_on", {}).items()
    }
    assert waits
    for name, condition in waits:
        service = COMPOSE["services"][name]
        assert "healthcheck" in service if condition == "service_healthy" else service["restart"] == "no", name


def test_only_our_own_services_are_built_and_every_volume_is_declared() -> None:
    services = COMPOSE["services"]
    assert {name for name, service in services.items() if "build" in service} == {"prepare", "web", "worker"}
    used = {volume.partition(":")[0] for service in services.values() for volume in service.get("volumes", [])}
    assert used == {*COMPOSE["volumes"], "./nginx.conf"}


def test_workers_may_use_every_gpu_and_have_no_name_of_their_own() -> None:
    worker = COMPOSE["services"]["worker"]
    assert worker["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]
    assert "container_name" not in worker  # a fixed name cannot be scaled
    assert "ports" not in worker


def here(words: list[str], port: int = 8000) -> list[str]:
    """Words of the compose file with this Python in place of the image's, and another port in place of the image's own."""
    return [sys.executable if word == "python" else word.replace("8000", str(port)) for word in words]


@contextmanager
def running(service: str, log: Path, port: int = 8000) -> Iterator[subprocess.Popen[bytes]]:
    """The service's command with the compose file's kind of environment: both servers named by URL, no secret in the data folder."""
    environment = {
        **os.environ,
        "DATABASE_URL": database_url(),
        "REDIS_URL": settings.CHANNEL_LAYERS["default"]["CONFIG"]["hosts"][0]["address"],
        "PROGENY_SECRET_KEY": "x" * 50,
        "PROGENY_DATA": str(log.parent),
    }
    with log.open("wb") as stream:
        process = subprocess.Popen(
            here(COMPOSE["services"][service]["command"], port),
            cwd=BASE_DIR,
            env=environment,
            stdout=stream,
            stderr=stream,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@pytest.mark.django_db(transaction=True)
def test_prepare_makes_the_tables_and_says_where_to_sign_in_first(tmp_path: Path) -> None:
    log = tmp_path / "prepare.log"
    with running("prepare", log) as process:
        assert process.wait(60) == 0, log.read_text()
    assert "Make the first account at http://localhost:8000/" in log.read_text()


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_web_answers_its_own_healthcheck(tmp_path: Path) -> None:
    port = free_port()
    check = here(COMPOSE["services"]["web"]["healthcheck"]["test"][1:], port)
    with running("web", tmp_path / "web.log", port):
        wait_for(
            lambda: subprocess.run(check, capture_output=True, check=False).returncode == 0,
            "the healthcheck passes",
            30,
        )


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_each_worker_takes_a_device_of_its_own(tmp_path: Path) -> None:
    with running("worker", tmp_path / "first.log"):
        wait_for(lambda: " ready." in (tmp_path / "first.log").read_text(), "the first worker is ready", 60)
        with running("worker", tmp_path / "second.log"):
            wait_for(
                lambda: "waiting for one" in (tmp_path / "second.log").read_text(), "the second waits for a device", 30
            )
