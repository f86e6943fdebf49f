"""Fetching a model: by whom, from where it ended, checked by its hash, into the library; and what is said when it does not come."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from huggingface_hub import snapshot_download

from merging.demo import PACK
from tests.hub.repos import Repo, put
from tests.hub.server import FakeHub, Fault
from webapp.hub import downloads, transfers
from webapp.hub.downloads import request_download
from webapp.hub.models import Download, Source
from webapp.hub.names import Wanted
from webapp.library.models import Parent
from webapp.quotas import QuotaError

WEIGHTS = (PACK / "japanese" / "model.safetensors").read_bytes()
WANTED = Wanted("org/japanese")
STORAGE = "GET /storage/"


def fetched(owner: User, wanted: Wanted = WANTED) -> Download:
    """What has become of a request when its process has ended."""
    row = request_download(owner, wanted)
    Download.objects.filter(pk=row.pk).update(status="leased", lease_token=1, lease_until="2100-01-01T00:00Z")
    downloads.carry_out(row.pk, 1)
    return Download.objects.get(pk=row.pk)


def ranges(hub: FakeHub) -> list[str]:
    return [asked for line, asked, _ in hub.calls if line.startswith(STORAGE)]


def test_a_model_is_fetched_checked_and_added(owner: User, japanese: Repo, places: Path) -> None:
    row = fetched(owner)
    commit = japanese.refs["main"]
    assert (row.status, row.commit, row.n_done, row.failure) == ("done", commit, row.n_bytes, "")
    assert row.parent is not None and row.parent.name == "org/japanese" and row.parent.owner == owner
    source = Source.objects.get(parent=row.parent)
    assert (source.repo, source.commit, source.licence, source.base_models) == (
        "org/japanese", commit, "apache-2.0", ["org/base"],
    )  # fmt: skip
    assert row.parent.licence == "apache-2.0"
    folder = Path(row.parent.folder)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS and not (folder / "pytorch_model.bin").exists()


def test_the_hub_s_own_library_reads_the_cache(owner: User, japanese: Repo, places: Path) -> None:
    row = fetched(owner)
    assert row.parent is not None
    assert snapshot_download("org/japanese", cache_dir=places, local_files_only=True) == row.parent.folder


def test_a_cut_in_the_middle_is_gone_on_from(owner: User, fake_hub: FakeHub, japanese: Repo) -> None:
    fake_hub.faults.append(Fault(STORAGE, cut=1_000_000, times=1))
    assert fetched(owner).status == "done"
    first, second = ranges(fake_hub)
    assert first == "bytes=0-" and 0 < int(second.removeprefix("bytes=").rstrip("-")) <= 1_000_000


def test_a_process_that_was_killed_leaves_what_the_next_goes_on_from(
    owner: User, fake_hub: FakeHub, japanese: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = transfers.Heard.bytes

    def killed(self: transfers.Heard, n: int) -> None:
        told(self, n)
        if self.n_done > 500_000:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(transfers.Heard, "bytes", killed)
        fetched(owner)
    Download.objects.update(status="pending", lease_until=None)
    row = fetched(owner)
    assert row.status == "done" and row.n_before > 400_000
    assert ranges(fake_hub)[1] != "bytes=0-"


def test_what_was_paused_is_written_no_more_and_goes_on_later(owner: User, fake_hub: FakeHub, japanese: Repo) -> None:
    row = request_download(owner, WANTED)
    Download.objects.filter(pk=row.pk).update(status="leased", lease_token=1, lease_until="2100-01-01T00:00Z")
    downloads.pause(row)
    downloads.carry_out(row.pk, 1)
    row.refresh_from_db()
    assert row.status == "dropped" and not Parent.objects.exists()
    again = fetched(owner)
    assert again.pk != row.pk and again.status == "done" and not Download.objects.filter(pk=row.pk).exists()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_hub_that_is_busy_is_asked_again(owner: User, fake_hub: FakeHub, japanese: Repo, status: int) -> None:
    fake_hub.faults.append(Fault(STORAGE, status=status, headers={"Retry-After": "0"}, times=2))
    assert fetched(owner).status == "done" and len(ranges(fake_hub)) == 3


def test_a_hub_that_stays_broken_is_given_up_in_words(owner: User, fake_hub: FakeHub, japanese: Repo) -> None:
    fake_hub.faults.append(Fault(STORAGE, status=503, times=99))
    row = fetched(owner)
    assert (row.status, row.failure_kind) == ("failed", "broken") and "Try again a little later" in row.failure
    assert row.stage == ""


def test_damage_is_noticed_and_fetched_anew_once(owner: User, fake_hub: FakeHub, japanese: Repo, places: Path) -> None:
    found = japanese.commits[japanese.refs["main"]].files["model.safetensors"]
    blobs = places / "models--org--japanese" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{found.sha256}.part").write_bytes(b"x" * 1000)
    assert fetched(owner).status == "done"
    assert ranges(fake_hub) == ["bytes=1000-", "bytes=0-"]


def test_a_gated_model_is_its_owner_s_and_refused_to_others(
    owner: User, member: User, fake_hub: FakeHub, japanese: Repo, places: Path
) -> None:
    japanese.gated = "auto"
    row = fetched(owner)
    assert (row.status, row.failure_kind) == ("failed", "gated") and "ask for access" in row.failure, row.failure
    japanese.granted.add("owner")
    row = fetched(owner)
    assert row.parent is not None and f"user-{owner.pk}" in row.parent.folder and not places.exists()
    assert fetched(member).failure_kind == "gated"
    assert not Parent.objects.visible_to(member).exists()


def test_a_cache_that_is_there_already_is_used_where_it_is(
    owner: User, fake_hub: FakeHub, japanese: Repo, places: Path
) -> None:
    snapshot_download("org/japanese", cache_dir=places, endpoint=fake_hub.url, token=False)
    fake_hub.calls.clear()
    row = fetched(owner)
    assert row.status == "done" and row.n_before == row.n_bytes and ranges(fake_hub) == []
    assert row.parent is not None and Path(row.parent.folder).is_relative_to(places)


def test_offline_what_is_here_can_be_added_by_staff(
    owner: User, admin_user: User, fake_hub: FakeHub, japanese: Repo, places: Path, settings: Any
) -> None:
    snapshot_download("org/japanese", cache_dir=places, endpoint=fake_hub.url, token=False)
    settings.OFFLINE = True
    row = fetched(owner)
    assert (row.status, row.failure_kind) == ("failed", "offline")
    assert fetched(admin_user).status == "done"
    assert fetched(admin_user, Wanted("org/other")).failure_kind == "offline"


def test_a_full_disk_is_said_before_and_in_the_middle(
    owner: User, japanese: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(downloads, "room", lambda cache: 1000)
        row = fetched(owner)
    assert (row.status, row.failure_kind) == ("failed", "disk") and "are free" in row.failure

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(transfers, "_go_on", full)
    row = fetched(owner)
    assert (row.status, row.failure_kind) == ("failed", "disk") and "what has come stays" in row.failure


def test_another_commit_has_a_name_of_its_own(owner: User, japanese: Repo) -> None:
    first = fetched(owner)
    put(japanese, {"generation_config.json": "{}"})
    second = fetched(owner)
    assert first.parent is not None and second.parent is not None and first.parent != second.parent
    assert second.parent.name == f"org/japanese@{second.commit[:7]}"


def test_taking_back_removes_what_has_begun(owner: User, fake_hub: FakeHub, japanese: Repo, places: Path) -> None:
    fake_hub.faults.append(Fault(STORAGE, cut=500_000, times=1))
    fake_hub.faults.append(Fault(STORAGE, status=404, times=99))
    row = fetched(owner)
    assert row.status == "failed" and list(places.rglob("*.part"))
    downloads.cancel(row)
    assert not list(places.rglob("*.part")) and not Download.objects.exists()


def test_a_model_is_asked_for_once_and_so_many_at_a_time(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "N_AT_ONCE", 2)
    assert request_download(owner, WANTED) == request_download(owner, WANTED)
    request_download(owner, Wanted("org/other"))
    with pytest.raises(QuotaError, match="2 models at a time"):
        request_download(owner, Wanted("org/third"))
