"""The real client finds in the fake Hub what it would find in the real one: answers, refusals, redirects, ranges, cuts."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get

from tests.hub import reading
from tests.hub.repos import git_hash, put
from tests.hub.server import FakeHub, Fault, Routes, answer

CARD = "---\nlicense: apache-2.0\nbase_model:\n- mistralai/Mistral-7B-v0.1\n---\n# Big\n"
CONFIG = '{"model_type": "mistral", "architectures": ["MistralForCausalLM"]}'
LARGE = bytes(range(256)) * 64


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub(reading.routes).serving() as serving:
        files: dict[str, bytes | str] = {"config.json": CONFIG, "README.md": CARD, "model.bin": LARGE}
        serving.shelf.add("org/big", files, downloads=7, likes=2)
        serving.shelf.tokens["hf_me"] = "me"
        yield serving


@pytest.fixture
def api(hub: FakeHub) -> HfApi:
    return HfApi(endpoint=hub.url, token="hf_me")


def test_a_search_narrows_and_sorts(hub: FakeHub, api: HfApi) -> None:
    hub.shelf.add("org/small", {"config.json": CONFIG}, downloads=9)
    hub.shelf.add("other/big", {"config.json": '{"model_type": "llama"}'})
    found = list(api.list_models(search="b", filter=["mistral"], author="org", sort="downloads", limit=5, full=True))
    assert [(model.id, model.downloads, model.likes) for model in found] == [("org/big", 7, 2)]
    assert "license:apache-2.0" in (found[0].tags or []) and "base_model:mistralai/Mistral-7B-v0.1" in (
        found[0].tags or []
    )
    assert [model.id for model in api.list_models(sort="downloads", limit=2)] == ["org/small", "org/big"]


def test_pages_of_a_search_are_followed(hub: FakeHub, api: HfApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PAGE", 1)
    hub.shelf.add("org/small", {"config.json": CONFIG})
    assert {model.id for model in api.list_models()} == {"org/big", "org/small"}


def test_a_model_tells_its_commit_and_the_exact_bytes_of_its_files(hub: FakeHub, api: HfApi) -> None:
    about = api.model_info("org/big", files_metadata=True)
    files = {file.rfilename: file for file in about.siblings or []}
    assert about.sha == hub.shelf.repos["org/big"].refs["main"]
    assert files["config.json"].blob_id == git_hash(CONFIG.encode()) and files["config.json"].lfs is None
    large = files["model.bin"].lfs
    assert large is not None and large.size == files["model.bin"].size == len(LARGE)
    assert [entry.path for entry in api.list_repo_tree("org/big")] == ["README.md", "config.json", "model.bin"]


def test_revisions_are_branches_requests_and_commits(hub: FakeHub, api: HfApi) -> None:
    first = hub.shelf.repos["org/big"].refs["main"]
    second = put(hub.shelf.repos["org/big"], {"config.json": "{}"}, "refs/pr/1")
    assert api.model_info("org/big", revision="refs/pr/1").sha == second.sha
    assert api.model_info("org/big", revision=first).sha == first
    with pytest.raises(RevisionNotFoundError):
        api.model_info("org/big", revision="nowhere")


def test_files_are_fetched_into_the_cache_whole(hub: FakeHub, tmp_path: Path) -> None:
    for name, content in (("config.json", CONFIG.encode()), ("model.bin", LARGE)):
        found = hf_hub_download("org/big", name, endpoint=hub.url, cache_dir=tmp_path, token="hf_me")
        assert Path(found).read_bytes() == content
    with pytest.raises(EntryNotFoundError):
        hf_hub_download("org/big", "nothing.json", endpoint=hub.url, cache_dir=tmp_path, token=False)


def test_a_large_file_is_elsewhere_and_told_before_it_is_fetched(hub: FakeHub) -> None:
    url = hf_hub_url("org/big", "model.bin", endpoint=hub.url)
    about = get_hf_file_metadata(url, token="hf_me")
    assert about.size == len(LARGE) and about.location.startswith(hub.storage)
    assert about.commit_hash == hub.shelf.repos["org/big"].refs["main"]


def test_a_cut_connection_is_taken_up_where_it_ended(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # what has not filled a block is thrown away
    hub.faults.append(Fault("GET /storage/", cut=5000))
    file = io.BytesIO()
    http_get(hf_hub_url("org/big", "model.bin", endpoint=hub.url), file, expected_size=len(LARGE))
    assert file.getvalue() == LARGE
    assert [asked for line, asked, _ in hub.calls if "/storage/" in line] == ["", "bytes=5000-"]


def test_the_gate_has_the_hub_s_own_words(hub: FakeHub, api: HfApi) -> None:
    repo = hub.shelf.add("org/closed", {"config.json": CONFIG}, gated="manual")
    assert api.model_info("org/closed").gated == "manual"
    for people, word in ((None, "authorized list"), (repo.waiting, "awaiting a review"), (repo.refused, "rejected")):
        if people is not None:
            people.add("me")
        with pytest.raises(GatedRepoError, match=word) as refused:
            api.auth_check("org/closed")
        assert refused.value.response.status_code == 403
    repo.granted.add("me")
    api.auth_check("org/closed")


def test_what_one_may_not_know_of_is_not_found(hub: FakeHub, api: HfApi) -> None:
    hub.shelf.add("org/secret", {"config.json": CONFIG}, private=True)
    for client, status in ((api, 404), (HfApi(endpoint=hub.url, token=False), 401)):
        for name in ("org/secret", "org/nothing"):
            with pytest.raises(RepositoryNotFoundError) as refused:
                client.model_info(name)
            assert refused.value.response.status_code == status
    assert api.whoami()["name"] == "me"
    with pytest.raises(HfHubHTTPError, match="401"):
        HfApi(endpoint=hub.url, token="hf_other").model_info("org/big")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_faults_are_answered_as_often_as_is_asked(hub: FakeHub, api: HfApi, status: int) -> None:
    hub.faults.append(Fault("/api/models/org/big", status=status, headers={"Retry-After": "7"}))
    with pytest.raises(HfHubHTTPError) as failed:
        api.model_info("org/big")
    assert failed.value.response.status_code == status and failed.value.response.headers["Retry-After"] == "7"
    assert api.model_info("org/big").id == "org/big"


def test_routes_can_be_added(hub: FakeHub, api: HfApi) -> None:
    more = Routes()
    more.add("POST", "/api/repos/create")(lambda call: answer({"url": f"{hub.url}/{call.user}/{call.json['name']}"}))
    hub.routes = hub.routes + more
    assert api.create_repo("me/mine").repo_id == "me/mine"
