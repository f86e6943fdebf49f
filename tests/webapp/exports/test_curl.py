"""Downloads as people make them: real curl against the served site, and through a real nginx where there is one."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tests.conftest import free_port, wait_for
from tests.webapp.exports.rows import built
from tests.webapp.runs.rows import make_run
from webapp.env import BASE_DIR
from webapp.exports.models import Export

pytestmark = pytest.mark.django_db(transaction=True)
CONTENT = bytes(range(256)) * 40_000  # ten pieces
SUMS = f"{hashlib.sha256(CONTENT).hexdigest()}  model.safetensors\n".encode()


@pytest.fixture
def export(owner: User, settings: Any, tmp_path: Path) -> Export:
    settings.DATA_DIR = tmp_path
    candidate = make_run(owner, n_generations=1).candidates.get(name="g0.1")
    return built(candidate, {"model.safetensors": CONTENT, "SHA256SUMS": SUMS})


@pytest.fixture
def cookie(owner_client: Client) -> str:
    name = django_settings.SESSION_COOKIE_NAME
    return f"{name}={owner_client.cookies[name].value}"


def curl(address: str, cookie: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["curl", "--silent", "--show-error", "--fail", "--max-time", "60", "--cookie", cookie, *words, address]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def file_address(site: str, export: Export) -> str:
    return site + reverse("exports:file", args=[export.pk, "model.safetensors"])


def resumed(address: str, cookie: str, place: Path, n_cuts: int = 5) -> bytes:
    """What is there after so many cuts, each a little further on."""
    n_bytes = int(re.findall(r"(?i)content-length: (\d+)", curl(address, cookie, "--head").stdout)[0])
    for cut in range(1, n_cuts + 1):
        part = curl(address, cookie, "--continue-at", "-", "--output", str(place))
        assert part.returncode == 0, part.stderr
        os.truncate(place, n_bytes * cut // (n_cuts + 1))
    done = curl(address, cookie, "--continue-at", "-", "--output", str(place))
    assert done.returncode == 0, done.stderr
    return place.read_bytes()


def test_curl_goes_on_where_it_was_cut(live_app: str, export: Export, cookie: str, tmp_path: Path) -> None:
    assert resumed(file_address(live_app, export), cookie, tmp_path / "m") == CONTENT


def test_curl_goes_on_with_a_zip_whose_manifest_is_right(
    live_app: str, export: Export, cookie: str, tmp_path: Path
) -> None:
    address = live_app + reverse("exports:zip", args=[export.pk])
    whole = curl(address, cookie, "--output", str(tmp_path / "whole.zip"))
    assert whole.returncode == 0, whole.stderr
    assert resumed(address, cookie, tmp_path / "m.zip") == (tmp_path / "whole.zip").read_bytes()
    shutil.unpack_archive(tmp_path / "m.zip", tmp_path / "unpacked")
    [folder] = (tmp_path / "unpacked").iterdir()
    checked = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=folder, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_a_file_removed_meanwhile_arrives_whole_and_is_gone_after(
    live_app: str, export: Export, owner_client: Client, cookie: str, tmp_path: Path
) -> None:
    address, place = file_address(live_app, export), tmp_path / "m"
    command = ["curl", "--silent", "--limit-rate", "1M", "--cookie", cookie, "--output", str(place), address]
    with subprocess.Popen(command) as running:
        wait_for(lambda: place.exists() and place.stat().st_size > 0, "the download has begun")
        owner_client.post(reverse("exports:remove", args=[export.pk]))
        assert not export.folder.exists() and place.stat().st_size < len(CONTENT)
        assert running.wait(30) == 0
    assert place.read_bytes() == CONTENT
    assert "404" in curl(address, cookie, "--continue-at", "100", "--output", str(tmp_path / "n")).stderr


# behind nginx

needs_nginx = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")


@pytest.fixture
def nginx(live_app: str, settings: Any, tmp_path: Path) -> Iterator[str]:
    """The address of nginx with the project's own nginx.conf, in front of the served site."""
    settings.ACCEL = True
    port, text = free_port(), (BASE_DIR / "nginx.conf").read_text()
    for old, new in {
        "server web:8000": f"server {live_app.removeprefix('http://')}",
        "listen 8080": f"listen 127.0.0.1:{port}",
        "/tmp/": f"{tmp_path}/",
        "/data/": f"{tmp_path}/",
        "error_log stderr": f"error_log {tmp_path}/error.log",
        "worker_processes auto;": f"worker_processes 1; daemon off; user {Path(tmp_path).owner()};",
    }.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "nginx.conf").write_text(text)
    with subprocess.Popen(["nginx", "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "error.log")]) as server:
        address = f"http://127.0.0.1:{port}"
        wait_for(lambda: curl(f"{address}/healthz", "").returncode in (0, 22), "nginx answers")
        yield address
        server.terminate()
    assert (tmp_path / "error.log").read_text() == ""


@needs_nginx
def test_nginx_sends_files_itself_and_goes_on_where_it_was_cut(
    nginx: str, export: Export, cookie: str, tmp_path: Path
) -> None:
    address = file_address(nginx, export)
    assert resumed(address, cookie, tmp_path / "m") == CONTENT
    head = curl(address, cookie, "--head").stdout
    assert f'"{hashlib.sha256(CONTENT).hexdigest()}"' in head and "Server: nginx" in head
    assert 'attachment; filename="model.safetensors"' in head and "X-Accel" not in head
    assert "nosniff" in head and "Accept-Ranges: bytes" in head


@needs_nginx
def test_nginx_sends_a_part_only_of_the_very_file(nginx: str, export: Export, cookie: str) -> None:
    address, etag = file_address(nginx, export), f'"{hashlib.sha256(CONTENT).hexdigest()}"'

    def status(*headers: str) -> str:
        words = [word for header in headers for word in ("--header", header)]
        return curl(address, cookie, "--output", "/dev/null", "--write-out", "%{http_code}", *words).stdout

    assert status("Range: bytes=5-") == "206"
    assert status("Range: bytes=5-", f"If-Range: {etag}") == "206"
    assert status("Range: bytes=5-", 'If-Range: "another"') == "200"
    assert status(f"Range: bytes={len(CONTENT)}-") == "416"
    assert status(f"If-None-Match: {etag}") == "304"


@needs_nginx
def test_nginx_gives_nothing_to_who_asks_it_directly_or_may_not(
    nginx: str, export: Export, cookie: str, member_client: Client
) -> None:
    name = django_settings.SESSION_COOKIE_NAME
    others = f"{name}={member_client.cookies[name].value}"
    for address, whose in (
        (f"{nginx}/exports-by-nginx/{export.pk}/model.safetensors", cookie),
        (file_address(nginx, export), others),
    ):
        assert "404" in curl(address, whose).stderr


@needs_nginx
def test_pages_zips_static_files_and_sockets_go_through_nginx(
    nginx: str, export: Export, cookie: str, tmp_path: Path
) -> None:
    from websockets.sync.client import connect

    page = curl(f"{nginx}/", cookie)
    assert page.returncode == 0
    [style] = re.findall(r'href="(/static/[^"]*base.css)"', page.stdout)
    assert "{" in curl(nginx + style, cookie).stdout
    zipped = resumed(nginx + reverse("exports:zip", args=[export.pk]), cookie, tmp_path / "m.zip")
    assert zipped[:2] == b"PK"
    address = f"{nginx.replace('http', 'ws')}/ws/runs/{export.candidate.run_id}/"
    with connect(address, additional_headers={"Cookie": cookie, "Origin": nginx}, proxy=None) as socket:
        assert '"snapshot"' in str(socket.recv(10))
