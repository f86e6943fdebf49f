"""A model, and a store: a folder, and a bucket of a server that speaks S3."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from merging.fingerprints import fingerprint
from webapp.store import demand, stocking
from webapp.store.models import Stock
from webapp.store.needs import Need


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """Its address."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty store, which is the installation's."""
    if request.param == "file":
        (tmp_path / "store").mkdir()
        settings.STORE = f"file://{tmp_path}/store"
    else:
        monkeypatch.setenv("AWS_ENDPOINT_URL", request.getfixturevalue("s3"))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        import boto3

        boto3.client("s3").create_bucket(Bucket=tmp_path.name.replace("_", "-").lower())
        settings.STORE = f"s3://{tmp_path.name.replace('_', '-').lower()}/progeny"
    return str(settings.STORE)


@pytest.fixture
def model(tmp_path: Path) -> Need:
    """What the server has."""
    folder = tmp_path / "server" / "model"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 8192)
    return Need("parents", fingerprint(folder), "org/model", str(folder))


def stock(need: Need, token: int = 1) -> Stock:
    """Ask for it, and do what the process of a worker of the server does."""
    demand.ask([need])
    rows = Stock.objects.filter(digest=need.digest)
    rows.update(status="leased", lease_token=token, lease_until="2100-01-01T00:00Z", failure_kind="", failure="")
    stocking.carry_out(rows.get().pk, token)
    return rows.get()
