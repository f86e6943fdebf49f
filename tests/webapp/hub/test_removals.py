"""Removing the files of a fetched model: what goes and what stays, who needs it still, and that a kill at any point loses nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from merging.errors import ParentError
from merging.recipes import passthrough_recipe
from tests.hub.repos import Repo
from tests.hub.server import FakeHub
from tests.webapp.hub.test_downloads import fetched, ranges
from tests.webapp.runs.rows import make_run
from webapp.hub import removals
from webapp.hub.downloads import request_download
from webapp.hub.models import Similarity
from webapp.hub.names import Wanted
from webapp.library.models import Parent
from webapp.people.models import Act
from webapp.runs import actions
from webapp.runs.config import RunConfig
from webapp.runs.models import Run
from webapp.sharing.actions import share
from webapp.trials.models import Trial


@pytest.fixture
def places(places: Path, settings: Any) -> Path:
    """In the data folder, as without an existing cache."""
    settings.HUB_CACHE = Path(settings.DATA_DIR) / "hub" / "cache"
    return Path(settings.HUB_CACHE)


@pytest.fixture
def row(owner: User, japanese: Repo, places: Path) -> Parent:
    found = fetched(owner).parent
    assert found is not None
    return found


def removal(row: Parent) -> removals.Removal:
    assert row.owner is not None
    found = removals.removal_of(row, row.owner)
    assert found is not None
    return found


def run_with(row: Parent, state: str) -> Run:
    """Somebody's run that has this model as its first parent."""
    assert row.owner is not None
    run = make_run(row.owner)
    config = run.config | {"parents": [{"name": row.name, "folder": row.folder, "fingerprint": row.fingerprint}]}
    Run.objects.filter(pk=run.pk).update(config=config, state=state)
    return run


def blobs(places: Path) -> set[str]:
    return {path.name for path in places.glob("models--*/blobs/*")}


def test_its_files_go_and_its_row_stays(owner_client: Client, row: Parent, places: Path) -> None:
    run_with(row, "done")
    there = reverse("hub:remove", args=[row.pk])
    page = owner_client.get(there).content.decode()
    n_bytes = sum(path.stat().st_size for path in places.glob("models--*/blobs/*"))
    assert removal(row).n_bytes == n_bytes and "none can be until this one is fetched again" in page
    assert Path(row.folder).is_dir()
    assert owner_client.post(there).status_code == 302
    assert not Path(row.folder).exists() and blobs(places) == set() and not list(places.glob("models--*/removed/*"))
    assert not Parent.objects.visible_to(row.owner).exists()  # type: ignore[arg-type]
    page = owner_client.get(reverse("library:parent", args=[row.pk])).content.decode()
    assert "Fetch it again" in page and "New run with it" not in page
    assert row.name in owner_client.get(reverse("library:parents")).content.decode()
    assert Act.objects.filter(words="removed the files of", name=row.name).count() == 1


def test_fetched_again_it_is_the_same_model(owner: User, japanese: Repo, fake_hub: FakeHub, row: Parent) -> None:
    removals.remove(removal(row))
    fake_hub.shelf.add("org/japanese", {"README.md": "# another commit"})
    again = fetched(owner, Wanted("org/japanese", row.source.commit)).parent
    assert again is not None and ranges(fake_hub)
    assert (again.pk, again.fingerprint, again.folder, again.removed_at) == (row.pk, row.fingerprint, row.folder, None)


def test_what_another_commit_has_too_stays(owner: User, japanese: Repo, fake_hub: FakeHub, row: Parent) -> None:
    fake_hub.shelf.add("org/japanese", {"README.md": "# another commit"})
    other = fetched(owner).parent
    assert other is not None and other.pk != row.pk
    n_bytes = removal(row).n_bytes
    assert 0 < n_bytes < 1000  # the card alone
    assert removals.remove(removal(row)) == []
    assert (Path(other.folder) / "model.safetensors").stat().st_size > 1000 and (
        Path(other.folder) / "README.md"
    ).exists()


NEEDS: dict[str, tuple[Callable[[Parent], object], str]] = {
    "a run that is not over": (lambda row: run_with(row, "paused"), "is not over"),
    "a trial": (
        lambda row: Trial.objects.create(
            owner=row.owner, name="x", recipe=passthrough_recipe(row.model).to_json(), benchmarks=[], n_questions=1
        ),
        "being tried",
    ),
    "a comparison": (
        lambda row: Similarity.objects.create(owner=row.owner, base=row, first=row, second=row), "being compared",
    ),
    "a fetch of another commit": (lambda row: request_download(row.owner, Wanted("org/japanese", "v1")), "being fetched"),  # type: ignore[arg-type]
}  # fmt: skip


@pytest.mark.parametrize("need", NEEDS)
def test_it_stays_while_something_needs_it(owner_client: Client, row: Parent, need: str) -> None:
    make, words = NEEDS[need]
    make(row)
    there = reverse("hub:remove", args=[row.pk])
    assert words in owner_client.get(there).content.decode()
    assert words in owner_client.post(there, follow=True).content.decode()
    row.refresh_from_db()
    assert Path(row.folder).is_dir() and row.removed_at is None


def test_it_stays_for_whoever_fetched_it_too(owner: User, member: User, row: Parent) -> None:
    assert fetched(member).status == "done"
    [why] = removals.remove(removal(row))
    assert "Somebody else here" in why and member.username not in why and Path(row.folder).is_dir()


def test_only_its_owner_removes_it_and_from_the_data_folder_alone(
    owner: User, member_client: Client, member: User, row: Parent, settings: Any, tmp_path: Path
) -> None:
    share(run_with(row, "done"), member, "editor")
    for asking in (member_client.get, member_client.post):
        assert asking(reverse("hub:remove", args=[row.pk])).status_code == 404
    settings.DATA_DIR = tmp_path / "elsewhere"
    assert removals.removal_of(row, owner) is None and removals.removals_of(owner) == []


def test_a_cache_that_a_link_leads_to_is_left_alone(owner: User, row: Parent, places: Path, tmp_path: Path) -> None:
    places.rename(tmp_path / "shared")
    places.symlink_to(tmp_path / "shared")
    assert Path(row.folder).is_dir() and removals.removal_of(row, owner) is None and not list(removals.our_models())


def test_a_removal_that_was_cut_before_it_was_decided_is_undone(row: Parent) -> None:
    one = removal(row)
    moved = one.place.removed(f"{row.source.commit}.{row.pk}")
    moved.parent.mkdir()
    one.snapshot.rename(moved)
    assert removals.finish_removals() == 1
    assert (Path(row.folder) / "config.json").exists() and not moved.exists()


def test_a_removal_that_was_cut_after_it_was_decided_is_ended(
    row: Parent, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(removals, "_delete", lambda place, moved: None)
        assert removals.remove(removal(row)) == []
    assert blobs(places) and not Path(row.folder).exists()
    assert removals.finish_removals() == 1
    assert blobs(places) == set() and removals.finish_removals() == 0


def test_nobody_launches_a_run_with_what_was_just_removed(
    owner: User, row: Parent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "_references", lambda config: [])  # whoever launches has read the folder before
    config = RunConfig.from_json(Run.objects.get(pk=run_with(row, "done").pk).config)
    removals.remove(removal(row))
    with pytest.raises(ParentError, match="fetch it again"):
        actions.launch(owner, config, "too late")


def test_the_storage_page_counts_models_and_says_what_an_existing_cache_holds(
    owner_client: Client, row: Parent, settings: Any, tmp_path: Path
) -> None:
    there = reverse("system:page") + "?tab=storage"
    page = owner_client.get(there).content.decode()
    assert reverse("hub:remove", args=[row.pk]) in page and "Existing cache" not in page
    settings.HUB_CACHE = tmp_path / "existing"
    (Path(settings.DATA_DIR) / "hub" / "cache").rename(settings.HUB_CACHE)
    page = owner_client.get(there).content.decode()
    assert (
        "Existing cache of the Hub" in page
        and "1 whole model" in page
        and reverse("hub:remove", args=[row.pk]) not in page
    )
