"""The Hub's pages are there whatever the Hub does; what it says is a part of them with a state for every case."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from tests.hub.repos import Repo
from tests.hub.server import FakeHub, Fault
from webapp.hub import client as asking
from webapp.hub.downloads import request_download
from webapp.hub.models import Download, Source
from webapp.hub.names import Wanted
from webapp.hub.packs import packs
from webapp.library.actions import install_demo_pack
from webapp.library.models import Parent

MODEL = "/hub/models/org/japanese/"


def text(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_a_search_narrows_by_all_that_is_asked_for(owner_client: Client, fake_hub: FakeHub, japanese: Repo) -> None:
    install_demo_pack()
    like = Parent.objects.get(name="demo/base").pk
    fake_hub.shelf.add(
        "org/other", {"config.json": '{"model_type": "mistral"}', "README.md": "---\nlicense: mit\n---\n"}
    )
    fake_hub.shelf.add("else/japanese", {"config.json": "{}"}, gated="auto")
    found = text(owner_client, f"/hub/results/?q=japan&author=org&size=tiny&licence=apache-2.0&like={like}&open=1")
    assert "org/japanese" in found and "else/japanese" not in found and "org/other" not in found
    everything = text(owner_client, "/hub/results/?q=")
    assert "gated" in everything and "cannot be used" in everything and "apache-2.0" in everything


def test_what_is_here_is_labelled(owner: User, owner_client: Client, japanese: Repo) -> None:
    install_demo_pack()
    parent = Parent.objects.get(name="demo/japanese")
    Parent.objects.filter(pk=parent.pk).update(owner=owner)
    Source.objects.create(parent=parent, repo="org/japanese", commit="0" * 40)
    assert "</svg>here</span>" in text(owner_client, "/hub/results/?q=japanese")
    assert "Here already" in text(owner_client, MODEL)
    assert "at commit" in text(owner_client, f"/models/{parent.pk}/")


@pytest.mark.parametrize("pasted", ["https://huggingface.co/org/japanese", "hf://org/japanese", "org/japanese@main"])
def test_an_address_leads_to_its_page(owner_client: Client, pasted: str) -> None:
    answer = owner_client.get("/hub/", {"q": pasted})
    assert answer.status_code == 302 and answer["Location"].startswith(MODEL)


def test_pages_ask_nothing_of_the_hub(owner_client: Client, fake_hub: FakeHub, japanese: Repo) -> None:
    for page in ("/hub/?q=japanese", MODEL, "/hub/downloads/", "/models/"):
        text(owner_client, page)
    assert fake_hub.calls == []


def test_a_hub_that_says_nothing_is_waited_for_a_moment(
    owner_client: Client, fake_hub: FakeHub, japanese: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking.Asking, "of", classmethod(lambda cls, user: cls(False, 0.2)))
    fake_hub.faults.append(Fault("/api/models", wait=3, times=2))
    begun = time.monotonic()
    assert "did not answer in time" in text(owner_client, "/hub/results/?q=japanese")
    assert "did not answer in time" in text(owner_client, f"{MODEL}look/")
    assert time.monotonic() - begun < 5  # of six


def test_every_part_has_an_offline_state(owner_client: Client, fake_hub: FakeHub, settings: Any) -> None:
    settings.OFFLINE = True
    for part in ("/hub/results/?q=x", f"{MODEL}look/", f"{MODEL}fit/"):
        assert "offline" in text(owner_client, part)
    assert "nothing is asked of the Hub" in text(owner_client, "/hub/")
    assert fake_hub.calls == []


def test_a_look_says_what_it_costs_and_on_what_terms(owner_client: Client, japanese: Repo) -> None:
    said = text(owner_client, f"{MODEL}look/")
    assert (
        "1.6 MB" in said
        and "apache-2.0" in said
        and "are free on this server" in said
        and japanese.refs["main"] in said
    )
    assert "Fetch 1.6 MB" in said
    japanese.gated = "manual"
    said = text(owner_client, f"{MODEL}look/")
    assert "Ask for access" in said and "/org/japanese" in said and "Fetch 1.6 MB" not in said


def test_a_fetch_is_begun_paused_gone_on_with_and_taken_back(owner: User, owner_client: Client, japanese: Repo) -> None:
    owner_client.post("/hub/downloads/start/", {"repo": "org/japanese", "revision": japanese.refs["main"]})
    row = Download.objects.get(owner=owner)
    assert "waits for a worker" in text(owner_client, "/hub/downloads/")
    owner_client.post(f"/hub/downloads/{row.pk}/pause/")
    assert "paused" in text(owner_client, "/hub/downloads/")
    owner_client.post(f"/hub/downloads/{row.pk}/resume/")
    row = Download.objects.get(owner=owner)
    assert row.status == "pending" and row.revision == japanese.refs["main"]
    owner_client.post(f"/hub/downloads/{row.pk}/cancel/")
    assert not Download.objects.exists()


def test_how_far_it_is_and_how_long_it_takes_is_said(owner: User, owner_client: Client) -> None:
    row = request_download(owner, Wanted("org/japanese"))
    begun = timezone.now() - timedelta(seconds=10)
    facts = {
        "status": "leased",
        "lease_token": 1,
        "lease_until": "2100-01-01T00:00Z",
        "stage": "fetching model.safetensors",
    }
    Download.objects.filter(pk=row.pk).update(**facts, n_bytes=3_000_000, n_done=1_000_000, begun=begun, n_files=6)
    said = text(owner_client, "/hub/downloads/")
    assert "1.0 MB of 3.0 MB in 6 files" in said and "20 s left" in said and "Fetching model.safetensors" in said


def test_a_pack_is_one_click(owner: User, owner_client: Client) -> None:
    assert "Cannot be used" in text(owner_client, "/hub/")
    owner_client.post("/hub/packs/free/")
    wanted = {row.repo for row in Download.objects.filter(owner=owner)}
    assert wanted == {member.wanted.repo for member in packs["free"].members}
    owner_client.post("/hub/packs/images/")
    assert Download.objects.count() == len(wanted)
    assert owner_client.post("/hub/packs/nothing/").status_code == 404


@pytest.mark.parametrize("repo", ["org/../x", "", "a b", "org/name\x00"])
def test_odd_names_are_refused(owner_client: Client, repo: str) -> None:
    owner_client.post("/hub/downloads/start/", {"repo": repo})
    assert not Download.objects.exists()
