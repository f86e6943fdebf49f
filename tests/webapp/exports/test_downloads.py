"""Building and downloading: who may, what comes, and that a cut download goes on where it stopped."""

from __future__ import annotations

import asyncio
import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from kombu.exceptions import OperationalError

from tests.webapp.runs.rows import make_run
from webapp.exports import streams
from webapp.exports.models import Export, ExportFile
from webapp.queue import queue
from webapp.runs.models import Run
from webapp.runs.task_names import DRAIN

pytestmark = pytest.mark.django_db
FILES = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 5000, "README.md": "日本語".encode()}


@pytest.fixture
def run(owner: User) -> Run:
    return make_run(owner, n_generations=1)


@pytest.fixture
def export(run: Run, owner: User, settings: Any, tmp_path: Path) -> Export:
    """A model that a worker has built."""
    settings.DATA_DIR = tmp_path
    export = Export.objects.create(
        owner=owner,
        candidate=run.candidates.get(name="g0.1"),
        status="done",
        progress=1.0,
        n_bytes=sum(map(len, FILES.values())),
    )
    folder = tmp_path / "exports" / str(export.pk)
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
        ExportFile.objects.create(
            export=export, name=name, n_bytes=len(content), sha256=hashlib.sha256(content).hexdigest()
        )
    return export


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of tasks that were sent."""
    names: list[str] = []
    monkeypatch.setattr(queue, "send_task", lambda name, *words, **options: names.append(name))
    return names


def start(client: Client, run: Run, name: str = "g0.1", **headers: str) -> Any:
    candidate = run.candidates.get(name=name)
    return client.post(reverse("exports:start", args=[run.pk, candidate.pk]), headers=headers)


def get(client: Client, export: Export, name: str, method: str = "get", **headers: str) -> Any:
    return getattr(client, method)(reverse("exports:file", args=[export.pk, name]), headers=headers)


def body(answer: Any) -> bytes:
    """The streamed bytes, as the server would iterate over them."""

    async def gathered() -> bytes:
        return b"".join([piece async for piece in answer.streaming_content])

    return asyncio.run(gathered())


# asking for it


def test_asking_makes_one_export_and_wakes_a_worker(
    run: Run, owner_client: Client, sent: list[str], django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        start(owner_client, run)
        start(owner_client, run)
    assert Export.objects.get().candidate.name == "g0.1"
    assert sent == [DRAIN]


def test_asking_works_without_a_queue(
    run: Run,
    owner_client: Client,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Callable[..., Any],
) -> None:
    def away(*words: object, **options: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(queue, "send_task", away)
    with django_capture_on_commit_callbacks(execute=True):
        assert start(owner_client, run).status_code == 302
    assert Export.objects.get().status == "pending"


def test_one_that_failed_is_made_anew(run: Run, owner: User, owner_client: Client) -> None:
    candidate = run.candidates.get(name="g0.1")
    failed = Export.objects.create(
        owner=owner, candidate=candidate, status="failed", failure_kind="disk", failure="Full."
    )
    start(owner_client, run)
    assert Export.objects.get().status == "pending" and Export.objects.get().pk != failed.pk


def test_only_the_owner_may_ask(run: Run, member_client: Client, stranger_client: Client) -> None:
    assert start(member_client, run).status_code == 404
    assert start(stranger_client, run).status_code == 302
    assert not Export.objects.exists()


def test_asking_needs_a_token(run: Run, owner: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner)
    assert start(client, run).status_code == 403


def test_asking_by_a_link_is_refused(run: Run, owner_client: Client) -> None:
    address = reverse("exports:start", args=[run.pk, run.candidates.get(name="g0.1").pk])
    assert owner_client.get(address).status_code == 405


@pytest.mark.parametrize(
    ("status", "words", "asks_again"),
    [("pending", "Waiting for a worker", True), ("leased", "Merging", True), ("failed", "The disk is full", False)],
)
def test_the_box_says_how_far_it_is(
    run: Run, owner: User, owner_client: Client, status: str, words: str, asks_again: bool
) -> None:
    from django.utils import timezone

    extra: dict[str, Any] = {
        "leased": {"lease_token": 1, "lease_until": timezone.now(), "stage": "merge", "progress": 0.4}
    }.get(status, {})
    extra |= {"failure_kind": "disk", "failure": "The disk is full."} if status == "failed" else {}
    export = Export.objects.create(owner=owner, candidate=run.candidates.get(name="g0.1"), status=status, **extra)
    box = owner_client.get(reverse("exports:detail", args=[export.pk]), headers={"HX-Request": "true"}).content.decode()
    assert words in box and ("hx-get" in box) is asks_again and "<html" not in box


# getting it


def test_everything_of_an_export_is_the_owners_alone(
    export: Export, owner_client: Client, member_client: Client, stranger_client: Client
) -> None:
    addresses = [reverse(f"exports:{name}", args=[export.pk]) for name in ("detail", "zip")]
    addresses.append(reverse("exports:file", args=[export.pk, "config.json"]))
    for address in addresses:
        headers = {"HX-Request": "true"}
        assert owner_client.get(address, headers=headers).status_code == 200
        assert member_client.get(address, headers=headers).status_code == 404
        assert stranger_client.get(address, headers=headers).status_code == 302


def test_a_file_comes_whole_with_its_hash_as_etag(export: Export, owner_client: Client) -> None:
    content = FILES["model.safetensors"]
    answer = get(owner_client, export, "model.safetensors")
    assert body(answer) == content
    assert answer["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert answer["Content-Length"] == str(len(content))
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Disposition"] == 'attachment; filename="model.safetensors"'


def test_a_download_that_was_cut_goes_on_where_it_stopped(
    export: Export, owner_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PIECE_BYTES", 1000)
    content = FILES["model.safetensors"]
    first = get(owner_client, export, "model.safetensors")
    rest = get(owner_client, export, "model.safetensors", **{"Range": "bytes=123456-", "If-Range": first["ETag"]})
    assert rest.status_code == 206
    assert rest["Content-Range"] == f"bytes 123456-{len(content) - 1}/{len(content)}"
    assert content[:123456] + body(rest) == content


def test_a_range_of_another_file_gives_the_whole(export: Export, owner_client: Client) -> None:
    answer = get(owner_client, export, "config.json", **{"Range": "bytes=1-", "If-Range": '"other"'})
    assert answer.status_code == 200 and body(answer) == FILES["config.json"]


def test_a_range_beyond_the_end_is_refused(export: Export, owner_client: Client) -> None:
    answer = get(owner_client, export, "config.json", Range="bytes=2-")
    assert answer.status_code == 416 and answer["Content-Range"] == "bytes */2"


def test_a_known_file_is_not_sent_again(export: Export, owner_client: Client) -> None:
    etag = get(owner_client, export, "config.json")["ETag"]
    assert get(owner_client, export, "config.json", **{"If-None-Match": etag}).status_code == 304


def test_head_tells_the_size(export: Export, owner_client: Client) -> None:
    answer = get(owner_client, export, "model.safetensors", method="head")
    assert answer["Content-Length"] == str(len(FILES["model.safetensors"])) and answer["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize("name", ["secret.key", "..%2F..%2Fsecret.key", "%2e%2e", "config.json%00"])
def test_only_listed_files_can_be_had(export: Export, owner_client: Client, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.key").write_text("secret")
    assert owner_client.get(reverse("exports:file", args=[export.pk, "x"])[:-1] + name).status_code == 404


def test_nothing_can_be_had_before_it_is_done(export: Export, owner_client: Client) -> None:
    other = Export.objects.create(owner=export.owner, candidate=export.candidate.run.candidates.get(name="g0.2"))
    assert owner_client.get(reverse("exports:zip", args=[other.pk])).status_code == 404


def test_the_zip_holds_every_file_and_announces_its_size(export: Export, owner_client: Client) -> None:
    answer = owner_client.get(reverse("exports:zip", args=[export.pk]))
    content = body(answer)
    assert answer["Content-Length"] == str(len(content))
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert archive.testzip() is None
    assert {name: archive.read(f"japanese-sums-g0-1/{name}") for name in FILES} == FILES
    assert answer["Content-Disposition"] == 'attachment; filename="japanese-sums-g0-1.zip"'


def test_a_file_that_shrank_breaks_the_download_instead_of_lying(
    export: Export, owner_client: Client, tmp_path: Path
) -> None:
    answer = get(owner_client, export, "model.safetensors")
    (tmp_path / "exports" / str(export.pk) / "model.safetensors").write_bytes(b"short")
    with pytest.raises(OSError, match="ended"):
        body(answer)
