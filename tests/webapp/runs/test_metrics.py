"""Both names of a gated score, wherever scores are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.ledger import world
from tests.webapp.runs.rows import make_run
from webapp.exports.cards import model_card
from webapp.exports.models import Export
from webapp.runs.models import Run, Score
from webapp.runs.report import report

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(owner: User) -> Run:
    """Its winner gives 92 % right answers in whatever language, of which the gate leaves 88.5 %."""
    made = make_run(owner, state="done", n_generations=1, ending=True)
    Score.objects.filter(evaluation__candidate=made.winner).update(right=0.92, mean=0.885, low=0.8, high=0.95)
    return made


def page(client: Client, run: Run) -> str:
    return client.get(f"/runs/{run.pk}/candidates/{run.winner_id}/").content.decode()


def test_the_page_shows_both_names_of_the_candidates_own_scores(run: Run, owner_client: Client) -> None:
    assert page(owner_client, run).count("acc 92.0 % in any language · acc_ja 88.5 %") == 3


def test_a_score_without_a_gate_has_no_second_name_on_the_page(
    owner: User, owner_client: Client, tmp_path: Path
) -> None:
    run = world.work(world.launch(owner, tmp_path, budget=4))
    assert "in any language" not in page(owner_client, run)
    winner = report(run)["winner"]
    assert winner and winner["search"] and winner["search"]["parts"][0]["metrics"] == {"acc": winner["search"]["mean"]}


def test_the_report_and_the_model_card_have_the_same_numbers_by_the_same_names(run: Run) -> None:
    winner = report(run)["winner"]
    assert winner and winner["final"] and winner["final"]["parts"][0]["metrics"] == {"acc": 0.92, "acc_ja": 0.885}
    text = model_card(Export.objects.create(owner=run.owner, candidate=run.winner))
    assert "- final, japanese-sums: `acc` 0.920, `acc_ja` 0.885" in text


def test_names_are_left_out_where_the_questions_are_gone(run: Run, owner_client: Client) -> None:
    run.config["objectives"][0]["benchmark"]["file"]["path"] = "/gone/sums.jsonl"
    run.save(update_fields=["config"])
    assert "acc_ja" not in page(owner_client, run)
    winner = report(run)["winner"]
    assert winner and winner["final"] and winner["final"]["parts"][0]["metrics"] == {}
