"""The old address of a comparison leads to the page that took its place; a candidate's page offers what is worth comparing."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tests.webapp.runs.path_rows import make_path_run
from tests.webapp.runs.rows import make_run
from webapp.runs.models import Candidate, Run

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


def test_a_comparison_is_the_owners_alone(run: Run, owner_client: Client, member_client: Client) -> None:
    address = f"{reverse('analysis:compare')}?c={winner(run).pk}&c={another(run).pk}"
    assert answer(owner_client, run, winner(run), another(run).pk).url == address
    assert answer(member_client, run, winner(run), another(run).pk).status_code == 404


def test_the_winner_is_what_a_candidate_is_compared_with_unless_another_is_named(
    run: Run, owner_client: Client
) -> None:
    assert answer(owner_client, run, another(run)).url.endswith(f"?c={another(run).pk}&c={run.winner_id}")
    assert f"&c={run.winner_id}" not in answer(owner_client, run, winner(run)).url


def test_the_page_of_a_candidate_offers_the_comparison(run: Run, owner_client: Client) -> None:
    found = owner_client.get(reverse("runs:candidate", args=[run.pk, another(run).pk])).content.decode()
    assert f'action="{reverse("analysis:compare")}"' in found
    assert f'<option value="{run.winner_id}">' in found and "(winner)" in found
    assert f'<option value="{another(run).pk}"' not in found


@pytest.mark.parametrize("asked", ["0", "nobody", "9" * 30, "-1", "١"])
def test_who_is_not_in_the_run_is_not_found(run: Run, owner_client: Client, asked: str) -> None:
    assert answer(owner_client, run, winner(run), asked).status_code == 404


def test_candidates_of_other_runs_are_not_found(run: Run, owner: User, owner_client: Client) -> None:
    other = make_run(owner, n_generations=1)
    assert answer(owner_client, run, winner(run), other.candidates.all()[0].pk).status_code == 404
    assert answer(owner_client, other, winner(run)).status_code == 404
