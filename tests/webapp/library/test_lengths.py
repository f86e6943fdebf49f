"""Answers that are longer than a model can be are told before anybody waits for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client

from merging.benchmarks import BenchmarkSpec
from tests.webapp.runs.choices import Library, draft, library
from webapp.library.lengths import too_long
from webapp.library.models import Parent
from webapp.runs.launching.drafts import plan
from webapp.runs.launching.problems import DraftError
from webapp.trials.models import Trial


@pytest.fixture
def chosen(owner: User, tmp_path: Path) -> Library:
    return library(owner, tmp_path)


def takes(model: Parent, n: int | None, key: str = "max_position_embeddings") -> None:
    file = Path(model.folder) / "config.json"
    value = {name: one for name, one in json.loads(file.read_text()).items() if name != "max_position_embeddings"}
    file.write_text(json.dumps(value | ({} if n is None else {key: n})))


def sentence(chosen: Library) -> str:
    return too_long(BenchmarkSpec.from_json(chosen.benchmark.spec), "Sums", [chosen.first, chosen.second])


@pytest.mark.parametrize(("n", "is_refused"), [(256, True), (257, False), (None, False)])
def test_an_answer_and_a_token_of_a_question_have_to_fit(chosen: Library, n: int | None, is_refused: bool) -> None:
    takes(chosen.first, n)
    takes(chosen.second, 1000, "n_positions")
    expected = f"an answer to Sums may have 256 tokens, and {chosen.first.name} takes 256 at once"
    assert sentence(chosen).startswith(expected) if is_refused else sentence(chosen) == ""


def test_neither_a_run_nor_a_trial_begins(chosen: Library, owner_client: Client) -> None:
    takes(chosen.first, 128)
    with pytest.raises(DraftError) as refused:
        plan(draft(chosen))
    assert "takes 128 at once" in " ".join(refused.value.problems["benchmarks"])
    answer = owner_client.post("/trials/", {"model": chosen.first.pk, "benchmark": chosen.benchmark.pk}, follow=True)
    assert "takes 128 at once" in answer.content.decode() and not Trial.objects.exists()
