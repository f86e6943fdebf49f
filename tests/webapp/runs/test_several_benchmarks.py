"""Several benchmarks in one run: what is chosen, what workers write, what the pages show."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client

from merging.benchmarks import BenchmarkSpec, QuestionFile
from merging.objectives import Combined, Objective, combine
from merging.statistics import paired_p
from tests.ledger import world
from tests.webapp.library.folders import question_file
from tests.webapp.runs.choices import Library, draft, form, library
from webapp.library.actions import add_benchmark
from webapp.library.models import Benchmark
from webapp.runs import outcomes
from webapp.runs.board import leaderboard
from webapp.runs.launching.drafts import plan
from webapp.runs.launching.measures import Measure
from webapp.runs.launching.problems import DraftError
from webapp.runs.models import Evaluation, Outcomes, Run, Score
from workers.ledger import results

pytestmark = pytest.mark.django_db


@pytest.fixture
def chosen(owner: User, tmp_path: Path) -> Library:
    return library(owner, tmp_path)


@pytest.fixture
def other(owner: User, chosen: Library, tmp_path: Path) -> Benchmark:
    return add_benchmark(owner, question_file(tmp_path / "more.jsonl"))


def objectives(folder: Path) -> tuple[Objective, ...]:
    """Two benchmarks, of which the first counts three times as much."""
    made = []
    for name, weight in (("sums", 3.0), ("differences", 1.0)):
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"question": f"{name} {n}?", "answer": str(n)}) + "\n" for n in range(60)))
        spec = BenchmarkSpec.of_file(name, QuestionFile(str(path), scorer="last_number", seed=0))
        made.append(Objective(spec, weight, 5, 5, 5))
    return tuple(made)


def scored_run(owner: User, folder: Path) -> Run:
    """Every model scores 0.8 on the first benchmark and 0.4 on the second."""
    run = world.launch(owner, folder, objectives=objectives(folder), budget=4)
    while (claim := world.claims.claim("w1", "test")) or world.generations.advance(run.pk, world.Searches()):
        if claim:
            assert results.finish(claim, world.result(claim, 0.8, 0.4))
    run.refresh_from_db()
    return run


def test_a_score_is_written_for_every_benchmark_and_their_mean_is_weighted(owner: User, tmp_path: Path) -> None:
    run = scored_run(owner, tmp_path)
    evaluation = Evaluation.objects.filter(run=run, split="search").first()
    assert evaluation and run.state == "done"
    assert list(evaluation.scores.values_list("benchmark", "mean")) == [("sums", 0.8), ("differences", 0.4)]
    parts = [Combined(score.mean, score.low, score.high) for score in evaluation.scores.all()]
    expected = combine(parts, (3.0, 1.0))
    assert (evaluation.mean, evaluation.low, evaluation.high) == (expected.mean, expected.low, expected.high)
    assert evaluation.mean == evaluation.fitness == pytest.approx(0.7) and evaluation.n == 10


def test_pages_show_each_benchmark_beside_the_mean(owner: User, owner_client: Client, tmp_path: Path) -> None:
    run = scored_run(owner, tmp_path)
    page = owner_client.get(f"/runs/{run.pk}/").content.decode()
    assert page.count('class="num board-part" data-label="sums"') == len(run.candidates.filter(generation=None)) + 4
    assert "<small>75 %</small>" in page and "sums, 75 % of the score" in page
    assert '<dd class="figure-part"><span>differences</span> 40.0 %</dd>' in page
    page = owner_client.get(f"/runs/{run.pk}/candidates/{run.winner_id}/?benchmark=1").content.decode()
    assert 'href="?split=search&amp;benchmark=1#answers" aria-current="true">differences' in page
    assert "a paired bootstrap" in page


def test_what_was_compared_is_not_compared_again(owner: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a leaderboard that a page asks for every second."""
    run = scored_run(owner, tmp_path)
    better = run.evaluations.filter(split="search", candidate__kind="evolved")[0]
    Outcomes.objects.filter(score__evaluation=better).update(scores=[1.0, 1.0, 1.0, 1.0, 0.5])
    compared: list[int] = []

    def counted(first: Sequence[float], second: Sequence[float]) -> float:
        compared.append(len(first))
        return paired_p(first, second)

    monkeypatch.setattr(outcomes, "paired_p", counted)
    board, n_compared = leaderboard.board(run, 4), len(compared)
    assert leaderboard.board(run, 4) == board and len(compared) == n_compared >= 1


def test_with_one_benchmark_pages_have_no_columns_for_it(owner: User, owner_client: Client, tmp_path: Path) -> None:
    run = world.work(world.launch(owner, tmp_path, budget=4))
    page = owner_client.get(f"/runs/{run.pk}/").content.decode()
    assert "board-part" not in page and page.count("figure-part") == page.count("the best parent there")


def test_the_form_takes_a_weight_and_counts_for_each(chosen: Library, other: Benchmark, owner_client: Client) -> None:
    sent = form(chosen, benchmarks=[chosen.benchmark.pk, other.pk], weight="2", n_search="7")
    owner_client.post("/runs/new/", sent | {f"weight-{other.pk}": "0.5"})
    first, second = Run.objects.get().config["objectives"]
    assert (first["weight"], first["n_search"], second["weight"], second["n_search"]) == (2.0, 7, 0.5, 20)


def test_the_sentence_says_how_much_each_counts(chosen: Library, other: Benchmark) -> None:
    measures = (Measure(chosen.benchmark, 3.0), Measure(other))
    assert "up to 40 candidates, scored on 75% sums and 25% more." in plan(draft(chosen, measures=measures)).sentence


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_that_is_no_positive_number_is_refused(chosen: Library, weight: float) -> None:
    with pytest.raises(DraftError, match="expected a number above 0: more is better on every benchmark already"):
        plan(draft(chosen, weight=weight))


def test_wrong_numbers_of_a_benchmark_that_is_not_chosen_do_not_matter(
    chosen: Library, other: Benchmark, owner_client: Client
) -> None:
    owner_client.post("/runs/new/", form(chosen) | {f"weight-{other.pk}": "much", f"n_search-{other.pk}": "x"})
    assert len(Run.objects.get().config["objectives"]) == 1


def test_a_run_like_one_with_several_starts_from_them(chosen: Library, other: Benchmark, owner_client: Client) -> None:
    owner_client.post("/runs/new/", form(chosen, benchmarks=[chosen.benchmark.pk, other.pk], weight="2"))
    page = owner_client.get(f"/runs/new/?like={Run.objects.get().pk}").content.decode()
    assert f'name="weight-{chosen.benchmark.pk}" value="2.0"' in page
    assert page.count('name="benchmarks"') == page.count("checked id") == 2 or "checked" in page


def test_scores_are_gone_with_their_evaluation(owner: User, tmp_path: Path) -> None:
    run = scored_run(owner, tmp_path)
    run.delete()
    assert not Score.objects.exists()
