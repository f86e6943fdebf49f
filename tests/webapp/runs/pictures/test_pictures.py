"""The numbers behind the pictures of the live page: notes, one benchmark alone, genes, and who did what when."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tests.webapp.runs.path_rows import make_path_run
from tests.webapp.runs.rows import make_run
from webapp.runs import events
from webapp.runs.config import RunConfig
from webapp.runs.live import genes
from webapp.runs.live.benchmark_scores import benchmark_scores
from webapp.runs.live.genes import gene_names, trajectories
from webapp.runs.live.notes import notes_of
from webapp.runs.live.timeline import ANSWERS, MERGES, NO_RESULT, OPEN, WAITS, timeline
from webapp.runs.models import Attempt, Candidate, Event, Outcomes, Run, Score

pytestmark = pytest.mark.django_db


def tell(run: Run, state: str) -> None:
    events.record(run.pk, "run.state", {"state": state, "message": "", "stopping": False})


def attempt(
    run: Run, token: int, seconds: tuple[float, float | None], outcome: str = "", worker: str = "w1"
) -> Attempt:
    """An attempt at the first candidate, from and to so many seconds after the run began."""
    began: datetime = run.started or run.created
    start, end = (None if second is None else began + timedelta(seconds=second) for second in seconds)
    evaluation = run.evaluations.filter(candidate__kind="evolved").order_by("pk")[0]
    return Attempt.objects.create(
        token=token, evaluation=evaluation, worker=worker, code_version="1", started=start, ended=end, outcome=outcome
    )


# notes


def test_the_chart_notes_pauses_failures_and_lost_workers(owner: User) -> None:
    run = make_run(owner, n_generations=2, n_failed=2)
    for state in ("pausing", "paused", "running", "finishing"):
        tell(run, state)
    attempt(run, 7, (1.0, 2.0), "lost")
    attempt(run, 8, (2.0, 3.0), "accepted")
    found = notes_of(run)
    assert [note["text"] for note in found if note["kind"] == "state"] == ["paused", "resumed", "final exam"]
    assert [note["text"] for note in found if note["kind"] == "failure"] == [
        f"g1.{i} failed: not finite" for i in (0, 1)
    ]
    assert [(note["at"], note["text"]) for note in found if note["kind"] == "lost"] == [
        (2.0, "w1 gave no result for g0.0")
    ]


def test_the_first_start_is_no_note(owner: User) -> None:
    run = make_run(owner, state="queued", n_generations=0)
    Event.objects.filter(run=run).delete()
    tell(run, "queued")
    tell(run, "running")
    assert notes_of(run) == []


# one benchmark alone


def second_scores(run: Run) -> None:
    """A second benchmark, on which the nth candidate scores n thousandths, with the answers of the first."""
    first = Score.objects.filter(evaluation__run=run, evaluation__split="search").select_related("outcomes")
    for i, score in enumerate(first.order_by("evaluation__finished", "evaluation")):
        answers = score.outcomes
        score.pk, score.index, score.mean = None, 1, i / 1000
        score.save()
        Outcomes.objects.create(score=score, scores=answers.scores, rest=answers.rest)


def test_one_benchmarks_scores_are_numbered_as_the_dots_are(owner: User) -> None:
    run = make_run(owner, n_generations=1, population=4)
    second_scores(run)  # the four references come first
    assert benchmark_scores(run.pk, 1, 0)["means"] == [0.004, 0.005, 0.006, 0.007]
    later = benchmark_scores(run.pk, 1, 3)
    assert (later["after"], later["means"]) == (3, [0.007])
    parents = run.candidates.filter(generation=None).order_by("index").values_list("pk", flat=True)
    assert later["references"] == dict(zip(parents, (0.0, 0.001, 0.002, 0.003), strict=True))


@pytest.mark.parametrize("query", ["", "?index=1&after=x", "?index=99999999999", "?index=-1&after=999999999999999999"])
def test_any_question_for_a_benchmark_is_answered(owner: User, owner_client: Client, query: str) -> None:
    run = make_run(owner, n_generations=1, population=2)
    assert owner_client.get(reverse("runs:benchmark_scores", args=[run.pk]) + query).status_code == 200


# genes


def heat_map(run: Run) -> Any:
    return trajectories(run, RunConfig.from_json(run.config))


def test_every_gene_is_a_row_called_after_what_it_stands_for(owner: User) -> None:
    run = make_run(owner, n_generations=3, population=4, n_layers=4)
    found = heat_map(run)
    assert found["x"]["labels"] == ["0", "1", "2"]
    assert "layer 2 / addition / weight, 0 to 2" in found["y"]["labels"]
    assert len(found["cells"]) == 3 * len(found["y"]["labels"])
    column, row, mean, spread = found["cells"][1]
    genomes = [c.genome or [] for c in Candidate.objects.filter(run=run, generation__number=column)]
    assert mean == pytest.approx(sum(genome[row] for genome in genomes) / 4, abs=1e-3)
    assert 0 < spread < 0.5


def test_genes_of_a_path_are_switches_and_scales(owner: User) -> None:
    found = heat_map(make_path_run(owner, n_generations=2, population=3))
    assert any(label.endswith("layer 1") for label in found["y"]["labels"])
    assert any(label.endswith("scale") for label in found["y"]["labels"])


def test_of_very_many_genes_those_that_moved_most_are_shown(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(genes, "MAX_GENES", 2)
    run = make_run(owner, n_generations=2, population=3)
    Candidate.objects.filter(run=run, generation__number=0).update(genome=[0.5, 0.1, 0.5, 0.9])
    Candidate.objects.filter(run=run, generation__number=1).update(genome=[0.6, 0.9, 0.5, 0.1])
    assert heat_map(run)["y"]["labels"] == ["gene 1", "gene 3"]  # the recipes say of other genes


def test_before_the_first_generation_there_is_no_heat_map(owner: User) -> None:
    assert "nothing" in heat_map(make_run(owner, n_generations=0))


def test_names_need_no_models_folder(owner: User) -> None:
    run = make_run(owner, n_generations=1, population=1)  # its parents' folders do not exist
    n = len((run.candidates.get(kind="evolved").genome) or ())
    assert not any(name.startswith("gene ") for name in gene_names(run, RunConfig.from_json(run.config), n))


# who did what when


def test_an_accepted_attempt_waits_then_merges_then_answers(owner: User) -> None:
    run = make_run(owner, n_generations=1, population=1)
    attempt(run, 1, (10.0, 12.0), "accepted")  # of which 0.7 s for answering and 0.02 s for merging
    found: Any = timeline(run)
    assert found["bars"] == [[0, 10.0, 11.28, WAITS, 0], [0, 11.28, 11.3, MERGES, 0], [0, 11.3, 12.0, ANSWERS, 0]]
    assert found["names"] == ["g0.0 on the search questions"] and found["lanes"] == ["w1"]
    assert found["shares"] == {"waits": 0.64, "is loaded and merged": 0.01, "answers": 0.35, "idle": 0.0}


def test_each_worker_has_a_lane_and_gaps_are_idle(owner: User) -> None:
    run = make_run(owner, n_generations=1, population=1)
    attempt(run, 1, (0.0, 4.0), "lost", "w1")
    attempt(run, 2, (8.0, 10.0), "failed", "w2")
    found: Any = timeline(run)
    assert [bar[:4] for bar in found["bars"]] == [[0, 0.0, 4.0, NO_RESULT], [1, 8.0, 10.0, NO_RESULT]]
    assert found["shares"]["idle"] == 0.7


def test_an_open_attempt_lasts_until_now(owner: User) -> None:
    run = make_run(owner, n_generations=1, population=1)
    attempt(run, 1, (0.0, None))
    found: Any = timeline(run)
    assert found["bars"][0][3] == OPEN and found["bars"][0][2] > 15


def test_a_worker_that_began_nothing_has_no_timeline(owner: User) -> None:
    assert "nothing" in timeline(make_run(owner, n_generations=1))


@pytest.mark.parametrize("name", ["annotations", "benchmark_scores", "genes", "timeline"])
def test_pictures_are_the_owners_alone(
    owner: User, owner_client: Client, member_client: Client, stranger_client: Client, name: str
) -> None:
    address = reverse(f"runs:{name}", args=[make_run(owner, n_generations=1, population=2).pk])
    answers = [client.get(address).status_code for client in (owner_client, member_client, stranger_client)]
    assert answers == [200, 404, 302]
