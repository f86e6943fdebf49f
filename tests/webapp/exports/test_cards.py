"""The model card: what the Hub reads of it, and that it claims no more than was measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml
from django.contrib.auth.models import User

from merging.paths import path_recipe
from merging.recipes import Parent, Recipe
from tests.webapp.runs.path_rows import make_path_run, path
from tests.webapp.runs.rows import BASE, PARENTS, make_run
from webapp.exports.cards import model_card
from webapp.exports.models import Export
from webapp.library.models import Parent as ParentRow
from webapp.runs.models import Candidate, Evaluation, Run

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(owner: User) -> Run:
    return make_run(owner, state="done", n_generations=2, ending=True, name="Sums | of\ttwo")


def card(run: Run, candidate: Candidate | None = None) -> str:
    return model_card(Export.objects.create(owner=run.owner, candidate=candidate or run.winner))


def front_matter(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


def know_licences(*licences: str) -> None:
    for model, licence in zip((*PARENTS, BASE), licences, strict=True):
        ParentRow.objects.create(
            name=model.name, title=model.name, folder=model.folder, fingerprint=model.fingerprint, model_type="llama",
            n_layers=4, hidden_size=8, vocab_size=9, n_parameters=10, n_bytes=11, dtype="float32", licence=licence,
        )  # fmt: skip


def test_the_hub_finds_parents_library_and_language(run: Run) -> None:
    found = front_matter(card(run))
    assert found["base_model"] == ["demo/japanese", "demo/addition", "demo/base"]
    assert found["library_name"] == "transformers" and found["pipeline_tag"] == "text-generation"
    assert {"mergekit", "merge", "progeny"} <= set(found["tags"])
    assert found["language"] == ["ja"]


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        (("apache-2.0", "apache-2.0", "apache-2.0"), "apache-2.0"),
        (("apache-2.0", "mit", "apache-2.0"), "other"),
        (("apache-2.0", "apache-2.0", ""), "other"),
    ],
)
def test_a_licence_is_named_only_when_all_models_share_it(run: Run, licences: tuple[str, ...], expected: str) -> None:
    know_licences(*licences)
    found = front_matter(card(run))
    assert found["license"] == expected and ("license_name" in found) is (expected == "other")


def test_an_unknown_licence_is_never_guessed(run: Run) -> None:
    assert front_matter(card(run))["license"] == "other"


def test_scores_stand_with_n_and_interval_for_every_split(run: Run) -> None:
    text = card(run)
    for evaluation in Evaluation.objects.filter(candidate=run.winner):
        assert f"{evaluation.mean:.3f} [{evaluation.low:.3f}, {evaluation.high:.3f}], n = {evaluation.n}" in text
    assert "Search (optimised on this) | Validation (held out) | Final (held out, asked once)" in text
    assert "uniform average (baseline)" in text


def test_what_was_not_scored_is_empty(run: Run) -> None:
    candidate = run.candidates.filter(kind="evolved").exclude(pk=run.winner_id).first()
    row = next(line for line in card(run, candidate).splitlines() if line.startswith("| **this model**"))
    assert row.endswith("|  |  |")


def test_the_recipe_names_parents_and_no_folders_of_this_server(run: Run) -> None:
    text = card(run)
    assert run.winner and Recipe.from_json(run.winner.recipe).sentence() in text
    assert "model: demo/japanese" in text and "/models/" not in text


def test_settings_and_seed_stand_there(run: Run) -> None:
    text = card(run)
    for words in ("| Seed | 1 |", "CMA-ES", "DARE-TIES", f"{16} of a budget of 60", run.config_digest):
        assert words in text


def test_names_cannot_break_the_tables(run: Run) -> None:
    text = card(run)
    assert "# Sums \\| of two: " in text
    tables = [line for line in text.splitlines() if line.startswith("| ")]
    assert all(line.endswith("|") for line in tables)


def test_a_baseline_claims_no_search(run: Run) -> None:
    assert "one of 16 candidates" in card(run)
    assert "candidates of a search" not in card(run, run.candidates.get(name="uniform average"))


def test_a_recipe_that_mergekit_cannot_build_has_a_card_all_the_same(run: Run) -> None:
    assert run.winner
    recipe = Recipe.from_json(run.winner.recipe)
    run.winner.recipe = replace(recipe, base=Parent("base@main", "/models/base", "sha256:0")).to_json()
    run.winner.save()
    assert "rebuilds exactly this model with Progeny. mergekit cannot:" in card(run)


def test_a_path_is_told_layer_by_layer_and_as_an_ordinary_model(owner: User) -> None:
    run = make_path_run(owner, state="done", ending=True)
    assert run.winner
    hops = path((0, 0), (0, 1), (1, 1, 0.8), (1, 2), (0, 3))
    run.winner.recipe = path_recipe(PARENTS, hops).to_json()
    run.winner.save()
    text = card(run)
    assert "An ordinary model of 5 layers" in text and "configuration are those of demo/japanese." in text
    assert "| 0-1 | demo/japanese | 0-1 | 1, 1 |" in text and "| 2-3 | demo/addition | 1-2 | 0.8, 1 |" in text
    assert "the scales are part of this model's tensors" in text and "Path of 5 layers: 3 of demo/japanese" in text
    assert "| Paths | layers of demo/japanese and demo/addition, 2 times over, scales slot, at most 100 hops |" in text
    assert "## Path" not in card(make_run(owner, state="done", n_generations=1, ending=True, name="Merges"))
