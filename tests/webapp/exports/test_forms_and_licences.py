"""Exports that are no folder, what a licence follows from and who decides, and the program that fetches an export elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.contrib.auth.models import User
from django.core import signing
from django.test import Client
from django.urls import reverse

from merging.demo import PACK
from merging.finished import gguf
from merging.recipes import Recipe
from tests.access.world import body_of
from tests.webapp.exports.rows import built
from tests.webapp.exports.test_cards import front_matter, know_licences
from tests.webapp.runs.rows import make_run
from webapp.exports import scripts
from webapp.exports.actions import kept_by_policy, request_export
from webapp.exports.cards import model_card
from webapp.exports.licensing import decide, proposal
from webapp.exports.models import Export
from webapp.exports.papers import files_of
from webapp.library.models import Parent as ParentRow
from webapp.marks.actions import star
from webapp.runs.models import Candidate, Run

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(owner: User, settings: Any, tmp_path: Path) -> Run:
    found = make_run(owner, state="done", n_generations=2, ending=True)
    settings.DATA_DIR = tmp_path
    return found


@pytest.fixture
def winner(run: Run) -> Candidate:
    assert run.winner
    return run.winner


def papers(candidate: Candidate, kind: str) -> dict[str, str]:
    return dict(files_of(Export(owner=candidate.run.owner, candidate=candidate, kind=kind)))


def test_each_form_is_made_once_and_a_folder_beside_it(winner: Candidate) -> None:
    made = [request_export(winner.run.owner, winner, kind) for kind in ("folder", "recipe", "recipe", "bundle")]
    assert made[1] == made[2] and len({export.pk for export in made}) == 3


def test_a_recipe_and_its_yaml_name_parents_and_no_folder_of_this_server(winner: Candidate) -> None:
    recipe = json.loads(papers(winner, "recipe")["recipe.json"])
    assert recipe["digest"] == winner.recipe_digest and "/models/" not in json.dumps(recipe)
    text = papers(winner, "mergekit")["mergekit_config.yml"]
    assert "model: demo/japanese" in text and "/models/" not in text and yaml.safe_load(text)["merge_method"]


def test_a_bundle_has_all_that_reproduces_it_and_no_path_of_this_server(winner: Candidate) -> None:
    built(winner, {"model.safetensors": b"numbers", "README.md": b"card", "SHA256SUMS": b"sums"})
    files = papers(winner, "bundle")
    facts, told = json.loads(files["bundle.json"]), json.loads(files["report.json"])
    assert facts["run"]["seed"] == winner.run.seed and facts["run"]["config_digest"] == winner.run.config_digest
    assert {model["fingerprint"] for model in facts["models"]} == {
        model.fingerprint for model in Recipe.from_json(winner.recipe).models
    }
    assert facts["benchmarks"][0]["digest"] and "environment" in facts and told["winner"]["final"]["n"]
    assert files["model.sha256"].split()[1::2] == ["model.safetensors"]
    assert all("/models/" not in text for text in files.values())


def test_gguf_is_refused_in_words_where_no_converter_is(
    owner_client: Client, winner: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf.shutil, "which", lambda name: None)
    address = reverse("exports:start", args=[winner.run_id, winner.pk])
    page = owner_client.post(address, {"kind": "gguf", "variant": "Q8_0"}, follow=True).content.decode()
    assert "converter is not installed" in page and "PROGENY_LLAMA_CPP" in page and not Export.objects.exists()


@pytest.mark.parametrize(
    ("licences", "proposed", "unknown"),
    [
        (("apache-2.0", "mit", "apache-2.0"), "apache-2.0", []),
        (("apache-2.0", "cc-by-nc-4.0", "llama3"), "cc-by-nc-4.0", []),
        (("apache-2.0", "", "gemma"), "gemma", ["demo/addition"]),
        (("house rules", "", ""), "", ["demo/japanese", "demo/addition", "demo/base"]),
    ],
)
def test_the_most_restrictive_known_licence_is_proposed_and_the_unknown_ones_are_named(
    winner: Candidate, licences: tuple[str, ...], proposed: str, unknown: list[str]
) -> None:
    know_licences(*licences)
    found = proposal(winner)
    assert (found.licence, found.unknown) == (proposed, unknown)


def test_a_decision_says_who_when_and_on_what_and_stands_in_the_card(
    owner_client: Client, owner: User, winner: Candidate
) -> None:
    know_licences("apache-2.0", "cc-by-nc-4.0", "apache-2.0")
    address = reverse("exports:licence", args=[winner.run_id, winner.pk])
    page = owner_client.post(address, {"licence": "other"}, follow=True).content.decode()
    assert "Name the licence." in page and not winner.licence_decisions.exists()
    own = {"licence": "other", "name": "house-1", "link": "https://example.org/house", "is_sure": "on"}
    page = owner_client.post(address, own, follow=True).content.decode()
    decided = winner.licence_decisions.get()
    assert decided.by == owner.username and {"model": "demo/addition", "licence": "cc-by-nc-4.0"} in decided.basis
    assert f"by {owner.username}" in page
    text = model_card(Export(owner=owner, candidate=winner))
    facts = front_matter(text)
    assert [facts[f"license{part}"] for part in ("", "_name", "_link")] == [
        "other",
        "house-1",
        "https://example.org/house",
    ]
    assert f"A person decided so on {decided.created:%Y-%m-%d}" in text and "no legal advice" in text
    assert owner.username not in text
    decide(winner, owner, "cc-by-nc-4.0")
    assert front_matter(model_card(Export(owner=owner, candidate=winner)))["license"] == "cc-by-nc-4.0"


@pytest.mark.parametrize(
    ("licences", "chosen", "named"),
    [
        (
            ("", "", ""),
            "apache-2.0",
            "demo/japanese (not stated), demo/addition (not stated) and demo/base (not stated)",
        ),
        (("mit", "cc-by-nc-4.0", "apache-2.0"), "mit", "demo/addition (cc-by-nc-4.0)"),
        (("mit", "cc-by-nc-4.0", "apache-2.0"), "cc-by-nc-4.0", ""),
        (("house rules", "mit", "mit"), "house rules", ""),
    ],
)
def test_a_licence_that_allows_more_than_a_parents_is_decided_only_by_who_is_sure(
    owner_client: Client, winner: Candidate, licences: tuple[str, ...], chosen: str, named: str
) -> None:
    know_licences(*licences)
    address = reverse("exports:licence", args=[winner.run_id, winner.pk])
    page = owner_client.post(address, {"licence": chosen}, follow=True).content.decode()
    assert winner.licence_decisions.exists() is (not named)
    if named:
        assert f"the terms of {named}" in page and "I have read the terms" in page
        owner_client.post(address, {"licence": chosen, "is_sure": "on"})
        assert winner.licence_decisions.get().licence == chosen


def test_what_was_built_before_the_decision_says_so_and_is_built_again(
    owner_client: Client, owner: User, member_client: Client, winner: Candidate
) -> None:
    know_licences("mit", "mit", "mit")
    built(winner, {"README.md": model_card(Export(owner=owner, candidate=winner)).encode(), "SHA256SUMS": b"sums"})
    page = reverse("runs:candidate", args=[winner.run_id, winner.pk])
    words = "Built before the licence was decided."
    assert words not in owner_client.get(page).content.decode()
    licence = reverse("exports:licence", args=[winner.run_id, winner.pk])
    told = owner_client.post(licence, {"licence": "mit"}, follow=True).content.decode()
    assert words in told and "does not say so in its card: build it again" in told
    again = reverse("exports:start", args=[winner.run_id, winner.pk])
    assert member_client.post(again, {"again": "1"}).status_code == 404
    before = Export.objects.get()
    owner_client.post(again, {"again": "1"})
    export = Export.objects.get()
    assert export.pk != before.pk and export.status == "pending"
    export.delete()
    new = built(winner, {"README.md": model_card(Export(owner=owner, candidate=winner)).encode()})
    assert words not in owner_client.get(page).content.decode() and new.status == "done"


def test_removing_comes_last_and_the_way_to_the_download_first(owner_client: Client, winner: Candidate) -> None:
    built(winner, {"README.md": b"card"})
    page = owner_client.get(reverse("runs:candidate", args=[winner.run_id, winner.pk])).content.decode()
    assert page.index('class="button primary" href="#download"') < page.index('id="download"')
    assert page.index("Download zip") < page.index('class="button quiet danger"') < page.index("README.md</a> says so")
    live = owner_client.get(reverse("runs:detail", args=[winner.run_id])).content.decode()
    assert f'href="{reverse("runs:candidate", args=[winner.run_id, winner.pk])}#download"' in live


def test_models_of_this_house_have_one_wording(owner_client: Client, owner: User, winner: Candidate) -> None:
    know_licences("", "", "")
    for skill in ("japanese", "addition", "base"):
        ParentRow.objects.filter(name=f"demo/{skill}").update(folder=str(PACK / skill))
    page = owner_client.get(reverse("runs:candidate", args=[winner.run_id, winner.pk])).content.decode()
    assert "comes with Progeny" in page and "allows nothing" not in page and ">not stated<" not in page
    assert "no licence was chosen: a person has to" in page and "Nobody here knows" not in page
    text = model_card(Export(owner=owner, candidate=winner))
    assert text.count("comes with Progeny") == 6 and "not stated" not in text
    assert front_matter(text)["license"] == "other"


def test_the_card_gives_the_hub_held_out_scores_alone_with_n_and_interval(owner: User, winner: Candidate) -> None:
    (index,) = front_matter(model_card(Export(owner=owner, candidate=winner)))["model-index"]
    named = [result["dataset"]["name"] for result in index["results"]]
    assert [name.partition(", ")[2] for name in named] == ["validation split", "final split"]
    final = winner.evaluations.get(split="final").scores.get()
    (metric,) = index["results"][-1]["metrics"]
    assert metric["value"] == round(final.mean, 4)
    assert f"n = {final.n}, 95 % interval {final.low:.3f} to {final.high:.3f}" in metric["name"]
    assert "optimised on" in metric["name"]


def test_winners_and_starred_candidates_are_kept_and_the_rest_are_recipes(owner: User, run: Run) -> None:
    starred = run.candidates.filter(kind="evolved").exclude(pk=run.winner_id)[0]
    star(starred, owner, True)
    assert set(kept_by_policy()) == {run.winner_id, starred.pk}


@pytest.mark.django_db(transaction=True)
def test_the_script_fetches_goes_on_and_notices_what_is_not_what_was_built(
    live_app: str, owner_client: Client, winner: Candidate, tmp_path: Path, settings: Any
) -> None:
    files = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 4000, "with space.txt": b"x"}
    export = built(winner, files)
    answer = owner_client.get(live_app + reverse("exports:script", args=[export.pk]), HTTP_HOST=live_app.split("//")[1])
    (tmp_path / "fetch.sh").write_bytes(answer.content)
    there = tmp_path / "there"

    def run_it() -> subprocess.CompletedProcess[str]:
        words = ["sh", str(tmp_path / "fetch.sh"), str(there)]
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)

    there.mkdir()
    (there / "model.safetensors.part").write_bytes(files["model.safetensors"][:123_456])
    done = run_it()
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_bytes() for path in there.iterdir()} == files
    assert run_it().stdout.count(": here") == len(files)
    os.truncate(there / "config.json", 0)
    (there / "config.json.part").write_bytes(b"no")
    bad = run_it()
    assert bad.returncode == 1 and "config.json: not the file that was built" in bad.stderr
    assert run_it().returncode == 0


def test_a_key_opens_one_export_for_a_week_and_only_what_its_maker_may_see(
    client: Client, winner: Candidate, owner: User, member: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = built(winner, {"config.json": b"{}"})
    other = built(winner.run.candidates.exclude(pk=winner.pk)[0], {"config.json": b"{}"})

    def asked(key: str, of: Export = export) -> int:
        answer = client.get(reverse("exports:keyed", args=[of.pk, key, "config.json"]))
        body_of(answer)
        return answer.status_code

    key = scripts.key_for(export, owner.pk)
    assert (asked(key), asked(key, other), asked(scripts.key_for(export, member.pk)), asked(key + "x")) == (
        200, 404, 404, 404,
    )  # fmt: skip
    late = signing.time.time() + scripts.DAYS * 86400 + 1
    monkeypatch.setattr(signing.time, "time", lambda: late)
    assert asked(key) == 404
