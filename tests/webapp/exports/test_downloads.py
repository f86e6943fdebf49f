"""Building and downloading: who may, what comes, and that a cut download goes on where it stopped."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.signals import request_finished
from django.db import close_old_connections
from django.test import Client, TestCase
from django.urls import reverse
from django.utils import timezone
from kombu.exceptions import OperationalError

from tests.webapp.exports.rows import built
from tests.webapp.runs.rows import make_run
from webapp.exports import streams
from webapp.exports.models import Export
from webapp.library.models import Parent as ParentRow
from webapp.lineage.models import Adoption, Sequel
from webapp.queue import queue
from webapp.runs.models import Run
from webapp.runs.task_names import DRAIN
from webapp.sharing.models import Share

pytestmark = pytest.mark.django_db
FILES = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 5000, "README.md": "日本語".encode()}


@pytest.fixture
def run(owner: User) -> Run:
    return make_run(owner, n_generations=1)


@pytest.fixture
def export(run: Run, settings: Any, tmp_path: Path) -> Export:
    """A model that a worker has built."""
    settings.DATA_DIR = tmp_path
    return built(run.candidates.get(name="g0.1"), FILES)


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

    try:
        return asyncio.run(gathered())
    finally:
        close(answer)


def close(answer: Any) -> None:
    """As the server does, but for the database's connection, which is the test's."""
    request_finished.disconnect(close_old_connections)
    answer.close()
    request_finished.connect(close_old_connections)


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
        answer = owner_client.get(address, headers=headers)
        assert answer.status_code == 200
        close(answer)
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
    first = get(owner_client, export, "model.safetensors", method="head")
    rest = get(owner_client, export, "model.safetensors", **{"Range": "bytes=123456-", "If-Range": first["ETag"]})
    assert rest.status_code == 206
    assert rest["Content-Range"] == f"bytes 123456-{len(content) - 1}/{len(content)}"
    assert content[:123456] + body(rest) == content


def test_asking_for_the_head_of_a_part_tells_of_the_whole(export: Export, owner_client: Client) -> None:
    answer = get(owner_client, export, "model.safetensors", method="head", Range="bytes=5-")
    assert answer.status_code == 200 and answer["Content-Length"] == str(len(FILES["model.safetensors"]))


def test_several_ranges_give_the_whole(export: Export, owner_client: Client) -> None:
    """The standard leaves it to the server, and nobody who downloads models asks for several."""
    answer = get(owner_client, export, "config.json", Range="bytes=0-0,1-1")
    assert answer.status_code == 200 and body(answer) == FILES["config.json"]


def test_a_range_of_another_file_gives_the_whole(export: Export, owner_client: Client) -> None:
    answer = get(owner_client, export, "config.json", **{"Range": "bytes=1-", "If-Range": '"other"'})
    assert answer.status_code == 200 and body(answer) == FILES["config.json"]


def test_a_range_beyond_the_end_is_refused(export: Export, owner_client: Client) -> None:
    answer = get(owner_client, export, "config.json", Range="bytes=2-")
    assert answer.status_code == 416 and answer["Content-Range"] == "bytes */2"


def test_a_known_file_is_not_sent_again(export: Export, owner_client: Client) -> None:
    etag = get(owner_client, export, "config.json", method="head")["ETag"]
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


def zip_of(client: Client, export: Export, method: str = "get", **headers: str) -> Any:
    return getattr(client, method)(reverse("exports:zip", args=[export.pk]), headers=headers)


def test_a_zip_goes_on_where_it_stopped_wherever_that_was(
    export: Export, owner_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PIECE_BYTES", 1000)
    first = zip_of(owner_client, export)
    whole = body(first)
    for start in (1, 30, 999, 1000, 70_000, len(whole) // 2, len(whole) - 1):
        rest = zip_of(owner_client, export, **{"Range": f"bytes={start}-", "If-Range": first["ETag"]})
        assert rest.status_code == 206 and rest["Content-Range"] == f"bytes {start}-{len(whole) - 1}/{len(whole)}"
        assert body(rest) == whole[start:]
    middle = zip_of(owner_client, export, Range="bytes=500-70500")
    assert body(middle) == whole[500:70501]
    assert zip_of(owner_client, export, Range=f"bytes={len(whole)}-").status_code == 416
    assert zip_of(owner_client, export, **{"If-None-Match": first["ETag"]}).status_code == 304


def test_a_zip_whose_bytes_would_be_others_has_another_etag(export: Export, owner_client: Client) -> None:
    first = zip_of(owner_client, export, method="head")["ETag"]
    assert zip_of(owner_client, export, method="head")["ETag"] == first
    Run.objects.filter(pk=export.candidate.run_id).update(name="Another name")
    renamed = zip_of(owner_client, export, method="head")["ETag"]
    os.utime(export.folder / "config.json", (1e9, 1e9))
    assert len({first, renamed, zip_of(owner_client, export, method="head")["ETag"]}) == 3


# removing it


def remove(client: Client, export: Export) -> Any:
    with TestCase.captureOnCommitCallbacks(execute=True):
        return client.post(reverse("exports:remove", args=[export.pk]), follow=True)


def test_the_owner_removes_it_to_make_room_and_may_build_it_anew(
    export: Export, run: Run, owner_client: Client
) -> None:
    page = remove(owner_client, export)
    assert "The download is removed" in page.content.decode() and "Build for download" in page.content.decode()
    assert not export.folder.exists() and not Export.objects.exists()
    assert get(owner_client, export, "config.json").status_code == 404
    start(owner_client, run)
    assert Export.objects.get().pk != export.pk


def test_nobody_else_removes_it(export: Export, member_client: Client, member: User, stranger_client: Client) -> None:
    assert remove(member_client, export).status_code == 404
    Share.objects.create(run=export.candidate.run, user=member, role="editor")
    assert remove(member_client, export).status_code == 403
    assert stranger_client.post(reverse("exports:remove", args=[export.pk])).status_code == 302
    assert export.folder.exists() and Export.objects.exists()


def test_only_the_owner_sees_the_button(
    export: Export, owner_client: Client, member_client: Client, member: User
) -> None:
    Share.objects.create(run=export.candidate.run, user=member, role="editor")
    address = reverse("exports:detail", args=[export.pk])
    boxes = [c.get(address, headers={"HX-Request": "true"}).content.decode() for c in (owner_client, member_client)]
    assert ["Remove download" in box for box in boxes] == [True, False]
    assert all("Download zip" in box for box in boxes)


def test_downloads_that_have_begun_are_sent_whole_though_it_is_removed(export: Export, owner_client: Client) -> None:
    whole = body(zip_of(owner_client, export))
    one, both = get(owner_client, export, "model.safetensors"), zip_of(owner_client, export)
    remove(owner_client, export)
    assert body(one) == FILES["model.safetensors"] and body(both) == whole


def test_what_is_among_the_models_is_kept(export: Export, owner: User, owner_client: Client) -> None:
    row = ParentRow.objects.create(
        owner=owner, name="bred", title="bred", folder=str(export.folder), fingerprint="sha256:0", model_type="llama",
        n_layers=4, hidden_size=8, vocab_size=9, n_parameters=10, n_bytes=11, dtype="float32",
    )  # fmt: skip
    assert "This model is on your Models page" in remove(owner_client, export).content.decode()
    assert export.folder.exists() and Export.objects.exists()
    row.hidden_at = timezone.now()
    row.save()
    remove(owner_client, export)
    assert not export.folder.exists()


def test_what_a_run_is_made_from_is_kept(export: Export, run: Run, owner_client: Client) -> None:
    config = run.config
    config["parents"][0]["folder"] = str(export.folder)
    Run.objects.filter(pk=run.pk).update(config=config)
    assert "has this model as a parent" in remove(owner_client, export).content.decode()
    assert export.folder.exists()


def test_what_the_next_run_is_made_from_is_kept(export: Export, run: Run, owner_client: Client) -> None:
    config = {"parents": [{"folder": "/elsewhere"}, {"folder": str(export.folder)}]}
    sequel = Sequel.objects.create(first=run, name="what follows", config=config)
    assert "The run that follows" in remove(owner_client, export).content.decode()
    Sequel.objects.filter(pk=sequel.pk).update(called_off=True)
    remove(owner_client, export)
    assert not Export.objects.exists()


def test_what_is_being_adopted_is_kept(export: Export, owner_client: Client) -> None:
    Adoption.objects.create(candidate=export.candidate)
    assert "is just being put among your models" in remove(owner_client, export).content.decode()


@pytest.mark.parametrize("ask", [zip_of, lambda client, export: get(client, export, "config.json")])
def test_files_that_are_lost_are_gone_and_nothing_else_is_sent(export: Export, owner_client: Client, ask: Any) -> None:
    (export.folder / "config.json").unlink()
    answer = ask(owner_client, export)
    assert answer.status_code == 410 and b"build it again" in answer.content


def test_behind_nginx_a_file_is_left_to_it(export: Export, owner_client: Client, settings: Any) -> None:
    settings.ACCEL = True
    answer = get(owner_client, export, "model.safetensors", Range="bytes=5-")
    assert answer.status_code == 200 and answer.content == b""
    assert answer["X-Accel-Redirect"] == f"/exports-by-nginx/{export.pk}/model.safetensors"
    etag = f'"{hashlib.sha256(FILES["model.safetensors"]).hexdigest()}"'
    assert answer["ETag"] == etag
    assert get(owner_client, export, "model.safetensors", **{"If-None-Match": etag}).status_code == 304


def test_a_file_that_shrank_breaks_the_download_instead_of_lying(
    export: Export, owner_client: Client, tmp_path: Path
) -> None:
    answer = get(owner_client, export, "model.safetensors")
    (tmp_path / "exports" / str(export.pk) / "model.safetensors").write_bytes(b"short")
    with pytest.raises(OSError, match="ended"):
        body(answer)
