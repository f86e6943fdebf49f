"""Comparing two models: asked for on a page, carried out by a process, drawn as a heat map."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from webapp.hub import similarities
from webapp.hub.models import Similarity
from webapp.library.actions import install_demo_pack
from webapp.library.models import Parent
from webapp.quotas import QuotaError


@pytest.fixture
def models(db: None) -> dict[str, Parent]:
    install_demo_pack()
    return {parent.name.removeprefix("demo/"): parent for parent in Parent.objects.all()}


def test_two_models_are_compared_and_drawn(owner: User, owner_client: Client, models: dict[str, Parent]) -> None:
    chosen = {"first": models["addition"].pk, "second": models["japanese"].pk, "base": models["base"].pk}
    page = owner_client.post("/models/similarity/", chosen)["Location"]
    row = Similarity.objects.get(owner=owner)
    assert "waits for a worker" in owner_client.get(page).content.decode()
    Similarity.objects.update(status="leased", lease_token=1, lease_until="2100-01-01T00:00Z")
    similarities.carry_out(row.pk, 1)
    said = owner_client.get(page).content.decode()
    assert "Cosine of all layers" in said and 'data-plot="heatmap"' in said
    angles = owner_client.get(f"{page}numbers.json").json()
    assert len(angles["x"]["labels"]) == 4 and "self_attn.q_proj" in angles["y"]["labels"]
    assert len(angles["cells"]) == 4 * len(angles["y"]["labels"])
    signs = owner_client.get(f"{page}numbers.json?plot=signs").json()
    assert all(0 <= signs["z"]["low"] <= cell[2] <= signs["z"]["high"] <= 1 for cell in signs["cells"])


def test_the_same_is_not_compared_twice(
    owner: User, models: dict[str, Parent], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = (models["base"], models["addition"], models["japanese"])
    assert similarities.request_similarity(owner, *asked) == similarities.request_similarity(owner, *asked)
    monkeypatch.setattr(similarities, "N_AT_ONCE", 1)
    with pytest.raises(QuotaError):
        similarities.request_similarity(owner, models["base"], models["japanese"], models["addition"])


def test_three_different_models_are_asked_for(owner_client: Client, models: dict[str, Parent]) -> None:
    same = dict.fromkeys(("first", "second", "base"), models["base"].pk)
    assert "three different models" in owner_client.post("/models/similarity/", same).content.decode()
    assert not Similarity.objects.exists()


def test_what_does_not_fit_is_said(owner: User, models: dict[str, Parent]) -> None:
    Parent.objects.filter(pk=models["addition"].pk).update(folder="/nowhere")
    row = similarities.request_similarity(owner, models["base"], models["addition"], models["japanese"])
    Similarity.objects.update(status="leased", lease_token=1, lease_until="2100-01-01T00:00Z")
    similarities.carry_out(row.pk, 1)
    row.refresh_from_db()
    assert row.status == "failed" and "/nowhere" in row.failure
