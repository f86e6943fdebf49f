"""Using a candidate as a parent, and going on with a second run: who may, and what the pages say."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from merging.hops import Hop, LayerPath
from merging.paths import path_recipe
from merging.recipes import Parent as Model
from merging.recipes import Recipe, passthrough_recipe
from tests.webapp.runs.path_rows import make_path_run
from tests.webapp.runs.rows import make_config, make_run
from webapp.exports.cards import model_card
from webapp.exports.models import Export
from webapp.library.actions import install_demo_pack
from webapp.library.models import Benchmark, Parent
from webapp.lineage.models import Adoption, Sequel
from webapp.queue import queue
from webapp.runs.config import RunConfig
from webapp.runs.models import Candidate, Run

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
BRED = str(Path(settings.DATA_DIR) / "exports" / "bred")


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of tasks that were sent."""
    names: list[str] = []
    monkeypatch.setattr(queue, "send_task", lambda name, *words, **options: names.append(name))
    return names


@pytest.fixture
def run(owner: User) -> Run:
    return make_run(owner, state="done", n_generations=1, ending=True)


@pytest.fixture
def candidate(run: Run) -> Candidate:
    return run.candidates.get(name="g0.1")


def address(candidate: Candidate) -> str:
    return reverse("lineage:as_parent", args=[candidate.run_id, candidate.pk])


def registered(candidate: Candidate) -> Adoption:
    """As a worker would leave it."""
    facts: dict[str, Any] = {"n_layers": 4, "hidden_size": 2, "vocab_size": 4, "n_parameters": 9, "n_bytes": 36}
    parent = Parent.objects.create(
        owner=candidate.run.owner, name="bred", title="bred", folder=BRED, fingerprint="blake3:1", **facts
    )
    Export.objects.create(owner=candidate.run.owner, candidate=candidate, status="done")
    return Adoption.objects.create(candidate=candidate, parent=parent)


def with_sequel(first: Run, **changes: Any) -> Sequel:
    config = make_config(50, 60).to_json()
    return Sequel.objects.create(first=first, **{"name": "both, layer path", "config": config} | changes)


def test_pressing_use_as_parent_asks_for_the_model_and_shows_how_far_it_is(
    candidate: Candidate, owner_client: Client
) -> None:
    page = owner_client.get(reverse("runs:candidate", args=[candidate.run_id, candidate.pk])).content.decode()
    assert f'action="{address(candidate)}"' in page
    assert owner_client.post(address(candidate)).url == address(candidate)
    assert Adoption.objects.get().candidate == candidate
    assert (candidate.exports.get().status, candidate.exports.get().owner) == ("pending", candidate.run.owner)
    assert "Waiting for a worker" in owner_client.get(address(candidate)).content.decode()


def test_looking_asks_for_nothing(candidate: Candidate, owner_client: Client) -> None:
    assert "Use as parent" in owner_client.get(address(candidate)).content.decode()
    assert not Adoption.objects.exists() and not Export.objects.exists()


def test_a_parent_that_is_there_opens_a_new_run_with_it(candidate: Candidate, owner_client: Client) -> None:
    adoption = registered(candidate)
    new = f"{reverse('runs:new')}?parent={adoption.parent_id}"
    assert owner_client.get(address(candidate)).url == new
    assert owner_client.get(address(candidate), headers=HTMX).headers["HX-Redirect"] == new


@pytest.mark.parametrize(("make", "space"), [(make_run, "numbers"), (make_path_run, "path")])
def test_a_new_run_with_a_bred_model_goes_on_where_its_run_ended(
    owner: User, owner_client: Client, make: Callable[..., Run], space: str
) -> None:
    install_demo_pack()
    run = make(owner, n_generations=1)
    adoption = registered(run.candidates.get(name="g0.0"))
    page = owner_client.get(f"{reverse('runs:new')}?parent={adoption.parent_id}").content.decode()
    assert re.search(rf'name="space" value="{space}"[^>]* checked', page)
    asked = Benchmark.objects.get(name=RunConfig.from_json(run.config).objectives[0].spec.name)
    assert re.search(rf'name="benchmarks" value="{asked.pk}"[^>]* checked', page)
    assert "Expert" not in page.split('name="name"')[1].split(">")[0]


def test_what_failed_says_why_and_can_be_tried_again(candidate: Candidate, owner_client: Client) -> None:
    Adoption.objects.create(candidate=candidate)
    Export.objects.create(
        owner=candidate.run.owner,
        candidate=candidate,
        status="failed",
        failure_kind="disk",
        failure="The disk is full.",
    )
    page = owner_client.get(address(candidate)).content.decode()
    assert "The disk is full." in page and "Try again" in page and "hx-get" not in page[page.index("<main") :]
    owner_client.post(address(candidate))
    assert Export.objects.get().status == "pending"


def test_a_parent_of_the_run_is_one_already(run: Run, owner_client: Client) -> None:
    parent = run.candidates.filter(kind="parent")[0]
    assert owner_client.post(address(parent)).status_code == 404
    page = owner_client.get(reverse("runs:candidate", args=[run.pk, parent.pk])).content.decode()
    assert "Use as parent" not in page


def test_only_the_owner_uses_a_candidate_as_a_parent(
    candidate: Candidate, owner_client: Client, member_client: Client, stranger_client: Client
) -> None:
    for ask in ("get", "post"):
        assert getattr(member_client, ask)(address(candidate)).status_code == 404
        assert getattr(stranger_client, ask)(address(candidate)).url.startswith("/sign-in/")
    assert not Adoption.objects.exists()
    assert owner_client.get(address(candidate)).status_code == 200


def test_a_candidate_of_another_run_is_not_found_under_this_one(candidate: Candidate, owner: User) -> None:
    other = make_run(owner, n_generations=1)
    client = Client()
    client.force_login(owner)
    assert client.post(reverse("lineage:as_parent", args=[other.pk, candidate.pk])).status_code == 404


@pytest.mark.parametrize(
    ("state", "sentence", "asks_again"),
    [
        ("running", "When this search is done, a second run follows by itself", True),
        ("stopped", "This run was stopped, so the second one did not follow by itself.", True),
        ("failed", "This run was not completed, so the second one did not follow by itself.", True),
        ("done", "The second run follows as soon as its model A is built", True),
    ],
)
def test_a_run_page_says_what_comes_after(
    run: Run, owner_client: Client, state: str, sentence: str, asks_again: bool
) -> None:
    with_sequel(run)
    Run.objects.filter(pk=run.pk).update(state=state)
    box = owner_client.get(reverse("lineage:sequel", args=[run.pk]), headers=HTMX).content.decode()
    assert sentence in box and ("hx-trigger" in box) == asks_again
    assert ("as model A</button>" in box) == (state in ("stopped", "failed"))


def test_going_on_by_hand_asks_for_the_winner(run: Run, owner_client: Client) -> None:
    Run.objects.filter(pk=run.pk).update(state="stopped")
    sequel = with_sequel(run)
    answer = owner_client.post(reverse("lineage:go_on", args=[run.pk]))
    assert answer.url == reverse("runs:detail", args=[run.pk])
    sequel.refresh_from_db()
    assert sequel.state == "building" and sequel.adoption and sequel.adoption.candidate == run.winner


@pytest.mark.parametrize(("state", "button"), [("running", "Let it follow after all"), ("done", "as model A")])
def test_what_follows_can_be_called_off_and_taken_back(run: Run, owner_client: Client, state: str, button: str) -> None:
    Run.objects.filter(pk=run.pk).update(state=state)
    sequel = with_sequel(run)
    box = reverse("lineage:sequel", args=[run.pk])
    assert "Call the second run off" in owner_client.get(box, headers=HTMX).content.decode()
    page = owner_client.post(reverse("lineage:call_off", args=[run.pk]), follow=True).content.decode()
    assert "The second run was called off: nothing follows this one." in page and button in page
    owner_client.post(reverse("lineage:go_on", args=[run.pk]))
    sequel.refresh_from_db()
    assert sequel.state == {"running": "waiting", "done": "building"}[state]


def test_what_is_there_already_is_not_called_off(run: Run, owner: User, owner_client: Client) -> None:
    sequel = with_sequel(run, run=make_run(owner, name="Then the path", n_generations=1))
    page = owner_client.post(reverse("lineage:call_off", args=[run.pk]), follow=True).content.decode()
    assert "The second run is there already." in page
    sequel.refresh_from_db()
    assert not sequel.called_off


def test_only_the_owner_sees_what_comes_after_and_goes_on(
    run: Run, owner_client: Client, member_client: Client, stranger_client: Client
) -> None:
    Run.objects.filter(pk=run.pk).update(state="stopped")
    with_sequel(run)
    box, go_on, call_off = (reverse(f"lineage:{name}", args=[run.pk]) for name in ("sequel", "go_on", "call_off"))
    assert member_client.get(box, headers=HTMX).status_code == 404
    assert stranger_client.get(box).status_code == 302
    for act in (go_on, call_off):
        assert (member_client.post(act).status_code, stranger_client.post(act).status_code) == (404, 302)
    assert not Sequel.objects.get().by_hand and not Sequel.objects.get().called_off
    assert owner_client.get(box).url == reverse("runs:detail", args=[run.pk])
    assert owner_client.get(go_on).status_code == 405


def test_a_run_that_nothing_follows_has_no_such_box(run: Run, owner_client: Client) -> None:
    assert owner_client.get(reverse("lineage:sequel", args=[run.pk]), headers=HTMX).status_code == 404
    assert owner_client.post(reverse("lineage:go_on", args=[run.pk])).status_code == 404


def test_run_pages_link_to_each_other_and_to_the_candidate_between_them(
    run: Run, candidate: Candidate, owner: User, owner_client: Client
) -> None:
    adoption = registered(candidate)
    second = make_run(owner, name="Then the path", n_generations=1)
    parents = [{"name": "bred", "folder": BRED, "fingerprint": "blake3:1"}, second.config["parents"][1]]
    Run.objects.filter(pk=second.pk).update(config=second.config | {"parents": parents})
    with_sequel(run, adoption=adoption, run=second)
    first_page, second_page = (
        owner_client.get(reverse("runs:detail", args=[one.pk])).content.decode() for one in (run, second)
    )
    page_of_candidate = reverse("runs:candidate", args=[run.pk, candidate.pk])
    assert f'href="{reverse("runs:detail", args=[second.pk])}">Then the path</a>' in first_page
    assert f'Follows <a href="{reverse("runs:detail", args=[run.pk])}"' in second_page
    assert second_page.count(f'href="{page_of_candidate}"') == 2  # what it follows, and its parents
    assert f'href="{address(candidate)}"' in first_page


def test_the_models_page_tells_its_owner_where_a_model_was_bred(
    candidate: Candidate, owner_client: Client, member_client: Client
) -> None:
    adoption = registered(candidate)
    link = f'href="{reverse("runs:candidate", args=[candidate.run_id, candidate.pk])}"'
    assert link in owner_client.get("/models/").content.decode()
    Parent.objects.filter(pk=adoption.parent_id).update(owner=None)
    page = member_client.get("/models/").content.decode()
    assert "bred" in page and link not in page


def test_a_deleted_run_is_linked_from_nowhere(candidate: Candidate, owner_client: Client) -> None:
    registered(candidate)
    Run.objects.filter(pk=candidate.run_id).update(deleted_at=candidate.run.created)
    page = owner_client.get("/models/").content.decode()
    assert ">bred<" in page and str(candidate.run_id) not in page


def test_the_card_names_the_ancestors_and_tells_how_a_parent_was_bred(candidate: Candidate, owner: User) -> None:
    registered(candidate)
    second = make_run(owner, name="Then the path", n_generations=1)
    child = second.candidates.get(name="g0.0")
    bred = {"name": "bred", "folder": BRED, "fingerprint": "blake3:1"}
    other = Recipe.from_json(child.recipe).parents[1]
    recipe = path_recipe((Model(**bred), other), LayerPath((Hop(0, 0), Hop(1, 1), Hop(0, 3))), "float32")
    child.recipe, child.recipe_digest = recipe.to_json(), recipe.digest()
    child.save()
    text = model_card(Export.objects.create(owner=owner, candidate=child))
    front = yaml.safe_load(text.split("---")[1])
    assert front["base_model"] == ["demo/japanese", "demo/addition", "demo/base"]
    assert f"- `bred` is g0.1 of the run Japanese sums: {Recipe.from_json(candidate.recipe).sentence()}" in text


def test_the_card_of_another_owner_tells_nothing_of_a_run_that_is_not_theirs(
    candidate: Candidate, member: User
) -> None:
    registered(candidate)
    second = make_run(member, n_generations=1)
    child = second.candidates.get(name="g0.0")
    recipe = passthrough_recipe(Model("bred", BRED, "blake3:1"))
    child.recipe, child.recipe_digest = recipe.to_json(), recipe.digest()
    child.save()
    text = model_card(Export.objects.create(owner=member, candidate=child))
    assert "Lineage" not in text and yaml.safe_load(text.split("---")[1])["base_model"] == ["bred"]
