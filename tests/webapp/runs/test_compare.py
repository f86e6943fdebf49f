"""Two candidates beside each other: scores on the same questions, two routes with what differs marked, and who may see them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from merging.recipes import Recipe
from merging.statistics import paired_test
from tests.webapp.runs.path_rows import make_path_run
from tests.webapp.runs.rows import PARENTS, make_run
from webapp.runs.models import Candidate, Outcomes, Run
from webapp.runs.route import difference

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(owner: User) -> Run:
    return make_path_run(owner, state="done", n_generations=3, ending=True)


def winner(run: Run) -> Candidate:
    assert run.winner
    return run.winner


def another(run: Run) -> Candidate:
    return run.candidates.filter(kind="evolved").exclude(pk=run.winner_id)[0]


def answer(client: Client, run: Run, first: Candidate, other: object = "") -> Any:
    return client.get(reverse("runs:compare", args=[run.pk, first.pk]), {"with": other} if other else {})


def text(client: Client, run: Run, first: Candidate, other: object = "") -> str:
    found = answer(client, run, first, other)
    assert found.status_code == 200
    return str(found.content.decode())


def test_a_comparison_is_the_owners_alone(
    run: Run, owner_client: Client, member_client: Client, stranger_client: Client
) -> None:
    clients = (owner_client, member_client, stranger_client)
    assert [answer(c, run, winner(run), another(run).pk).status_code for c in clients] == [200, 404, 302]


def test_scores_are_compared_on_the_same_questions(run: Run, owner_client: Client) -> None:
    first, other = winner(run), another(run)
    rows = [
        Outcomes.objects.get(score__evaluation__candidate=c, score__evaluation__split="search") for c in (first, other)
    ]
    marks = [[score == 1 for score in row.scores] for row in rows]
    expected = paired_test(*marks)
    assert f"gained {expected.only_first}, lost {expected.only_second}" in text(owner_client, run, first, other.pk)


def test_both_routes_stand_there_with_the_difference_in_words(run: Run, owner_client: Client) -> None:
    first, other = winner(run), another(run)
    found = text(owner_client, run, first, other.pk)
    assert found.count('class="route-picture"') == 2 and found.count("<summary>The route as a table</summary>") == 2
    paths = [Recipe.from_json(c.recipe).path for c in (first, other)]
    assert paths[0] and paths[1]
    assert difference(paths[0], paths[1], (first.name, other.name)) in found
    assert all(escape(path.sentence([p.name for p in PARENTS])) in found for path in paths if path)
    assert len(set(re.findall(r'\bid="([^"]+)"', found))) == len(re.findall(r'\bid="([^"]+)"', found))


def test_a_path_is_compared_with_a_parent_as_it_is(run: Run, owner_client: Client) -> None:
    parent = run.candidates.filter(kind="parent").order_by("index")[0]
    found = text(owner_client, run, winner(run), parent.pk)
    assert found.count('class="route-picture"') == 2 and "Path of 4 layers: 4 of demo/japanese" in found


def test_merges_of_tensors_are_compared_by_their_layer_maps(owner: User, owner_client: Client) -> None:
    run = make_run(owner, n_generations=1)
    first, other = run.candidates.filter(kind="evolved")[:2]
    found = text(owner_client, run, first, other.pk)
    assert found.count('class="layer-map"') == 2 and "route-picture" not in found
    assert len(set(re.findall(r'\bid="([^"]+)"', found))) == len(re.findall(r'\bid="([^"]+)"', found))


def test_the_winner_is_what_a_candidate_is_compared_with_unless_another_is_named(
    run: Run, owner_client: Client
) -> None:
    assert answer(owner_client, run, another(run)).context["other"] == winner(run)
    assert answer(owner_client, run, winner(run)).context["other"] != winner(run)


def test_the_page_of_a_candidate_offers_the_comparison(run: Run, owner_client: Client) -> None:
    found = owner_client.get(reverse("runs:candidate", args=[run.pk, another(run).pk])).content.decode()
    assert reverse("runs:compare", args=[run.pk, another(run).pk]) in found
    assert f'<option value="{run.winner_id}">' in found and "(winner)" in found
    assert f'<option value="{another(run).pk}"' not in found


def test_who_was_asked_for_is_chosen_in_the_list_also_when_nobody_offered_it(run: Run, owner_client: Client) -> None:
    worst = run.candidates.filter(kind="evolved").order_by("pk")[0]
    found = text(owner_client, run, winner(run), worst.pk)
    assert re.findall(r'<option value="(\d+)" selected>', found) == [str(worst.pk)]


@pytest.mark.parametrize("asked", ["0", "nobody", "9" * 30, "-1", "١"])
def test_who_is_not_in_the_run_is_not_found(run: Run, owner_client: Client, asked: str) -> None:
    assert answer(owner_client, run, winner(run), asked).status_code == 404


def test_candidates_of_other_runs_are_not_found(run: Run, owner: User, owner_client: Client) -> None:
    other = make_run(owner, n_generations=1)
    assert answer(owner_client, run, winner(run), other.candidates.all()[0].pk).status_code == 404
    assert answer(owner_client, other, winner(run)).status_code == 404
