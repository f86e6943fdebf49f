"""Downloads of a big model: cut again and again, many at once, and how fast over the loopback; from the web server and through nginx.

    .venv/bin/python -m benchmarks.downloads >> docs/operation.md

The clients are curl. The file is sparse, with words here and there that tell its places apart. Memory is that of the web process, looked at
twenty times a second. The rows with nginx need it installed.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.servers import Web, free_port, services

ROOT: Final = Path(__file__).resolve().parent.parent
N_BYTES: Final = 1 << 30
MARK_BYTES: Final = 1 << 20
N_CUTS: Final = 50
N_PARALLEL: Final = 20
SECONDS: Final = 15
NAME: Final = "model.safetensors"


def main() -> None:
    """Measure and print a Markdown table."""
    with tempfile.TemporaryDirectory(prefix="progeny-downloads-") as folder, services(Path(folder)):
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        path, sha256, cookie = _export()
        print(
            f"\nLoad average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, which clients and servers share.\n"
        )
        print(
            f"| 1 GiB from | one alone | cut {N_CUTS} times | {N_PARALLEL} at once | the web process grows by |\n|---|---|---|---|---|"
        )
        print(_measured("the web server", path, sha256, cookie, Path(folder)), flush=True)
        if shutil.which("nginx"):
            print(_measured("nginx", path, sha256, cookie, Path(folder)), flush=True)


def _measured(source: str, path: str, sha256: str, cookie: str, folder: Path) -> str:
    by_nginx = source == "nginx"
    web = Web(folder / "logs", PROGENY_ACCEL=str(int(by_nginx)))
    try:
        with _nginx(web, folder) if by_nginx else _direct(web) as site:
            address, place = site + path, folder / "downloaded"
            seconds = _whole(address, cookie, place)
            n_cuts = _cut(address, cookie, place)
            same = hashlib.file_digest(place.open("rb"), "sha256").hexdigest() == sha256
            place.unlink()
            before = web.memory()
            most, rate = asyncio.run(_together(address, cookie, web))
    finally:
        web.stop()
    verdict = f"{n_cuts} times: {'the same SHA-256' if same else '**another SHA-256**'}"
    alone = f"{N_BYTES / seconds / 1e6:.0f} MB/s"
    return f"| {source} | {alone} | {verdict} | {rate / 1e6:.0f} MB/s | {(most - before) / 1e6:.1f} MB |"


def _curl(address: str, cookie: str, *words: str) -> list[str]:
    return ["curl", "--silent", "--show-error", "--fail", "--cookie", cookie, *words, address]


def _whole(address: str, cookie: str, place: Path) -> float:
    """Seconds for one download alone; it is thrown away."""
    began = time.monotonic()
    subprocess.run(_curl(address, cookie, "--output", "/dev/null"), check=True)
    return time.monotonic() - began


def _cut(address: str, cookie: str, place: Path) -> int:
    """Download in pieces: `curl -C -` is killed each time that it has come a fiftieth further. How many times."""
    n_cuts = 0
    while True:
        goal = N_BYTES * (n_cuts + 1) // (N_CUTS + 1)
        with subprocess.Popen(_curl(address, cookie, "--continue-at", "-", "--output", str(place))) as download:
            while download.poll() is None and not (n_cuts < N_CUTS and place.exists() and place.stat().st_size >= goal):
                time.sleep(0.001)
            if download.poll() is not None:
                if download.returncode:
                    raise RuntimeError(f"curl ended with {download.returncode}")
                return n_cuts
            download.kill()
        n_cuts += 1


async def _together(address: str, cookie: str, web: Web) -> tuple[int, float]:
    """Many for some seconds: the most memory of the web process, and bytes a second of all together."""
    words = ("--output", "/dev/null", "--max-time", str(SECONDS), "--write-out", "%{size_download}")
    command = _curl(address, cookie, *words)
    running = [
        await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for _ in range(N_PARALLEL)
    ]
    began, most = time.monotonic(), web.memory()
    ended = asyncio.gather(*(process.communicate() for process in running))
    while not ended.done():
        await asyncio.sleep(0.05)
        most = max(most, web.memory())
    seconds = time.monotonic() - began
    return most, sum(int(said) for said, _ in await ended) / seconds


@contextmanager
def _direct(web: Web) -> Iterator[str]:
    yield f"http://{web.host}"


@contextmanager
def _nginx(web: Web, folder: Path) -> Iterator[str]:
    """nginx with the project's own configuration, on free ports and in this folder."""
    port, text = free_port(), (ROOT / "nginx.conf").read_text()
    changes = {
        "web:8000": web.host,
        "listen 8080": f"listen 127.0.0.1:{port}",
        "/tmp/": f"{folder}/",
        "/data/": f"{folder}/",
        "worker_processes auto;": "worker_processes 2; daemon off; user root;",
    }
    for old, new in changes.items():
        text = text.replace(old, new)
    (folder / "nginx.conf").write_text(text)
    with subprocess.Popen(["nginx", "-c", str(folder / "nginx.conf")]) as server:
        time.sleep(1)
        yield f"http://127.0.0.1:{port}"
        server.terminate()


def _export() -> tuple[str, str, str]:
    """A finished export with one big file: the file's address, its SHA-256, and the cookie of who may have it."""
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.db import connections
    from django.test import Client
    from django.urls import reverse

    from webapp.exports.models import Export, ExportFile
    from webapp.runs.models import Candidate, Run

    owner = User.objects.create(username="owner")
    run = Run.objects.create(owner=owner, name="Big", state="done", config={}, config_digest="", budget=1, seed=1)
    candidate = Candidate.objects.create(run=run, kind="baseline", index=0, name="x", recipe={}, recipe_digest="x")
    export = Export.objects.create(owner=owner, candidate=candidate, status="done", n_bytes=N_BYTES)
    export.folder.mkdir(parents=True)
    _write_sparse(export.folder / NAME)
    with (export.folder / NAME).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    ExportFile.objects.create(export=export, name=NAME, n_bytes=N_BYTES, sha256=sha256)
    client = Client()
    client.force_login(owner)
    cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
    connections.close_all()
    return reverse("exports:file", args=[export.pk, NAME]), sha256, cookie


def _write_sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(N_BYTES)
        for start in range(0, N_BYTES, MARK_BYTES):
            file.seek(start)
            file.write(f"byte {start}".encode())


if __name__ == "__main__":
    main()
