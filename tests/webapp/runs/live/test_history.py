"""What the live chart is told: snapshots, events, and what a large run costs."""

from __future__ import annotations

import statistics
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.webapp.runs.rows import make_run
from webapp.runs import events, outcomes
from webapp.runs.live import series
from webapp.runs.models import Candidate, Evaluation, Run
from webapp.system.pills import pills

pytestmark = pytest.mark.django_db


def history(client: Client, run: Run, after: object = None) -> Any:
    address = reverse("runs:history", args=[run.pk])
    return client.get(address if after is None else f"{address}?after={after}")


def test_snapshot_numbers_candidates_in_the_order_in_which_they_were_scored(owner: User) -> None:
    run = make_run(owner, n_generations=2, population=5)
    found = series.snapshot(run.pk)
    scored = Evaluation.objects.filter(run=run, candidate__kind="evolved", split="search").order_by("finished")
    assert found["dots"]["number"] == list(range(1, 11))
    assert found["dots"]["id"] == [evaluation.candidate_id for evaluation in scored]


def test_best_holds_exactly_the_candidates_that_were_better_than_all_before(owner: User) -> None:
    run = make_run(owner, n_generations=3)
    fitnesses = list(
        Evaluation.objects.filter(run=run, candidate__kind="evolved")
        .order_by("finished")
        .values_list("fitness", flat=True)
    )
    better = [i + 1 for i, fitness in enumerate(fitnesses) if all(fitness > before for before in fitnesses[:i])]
    assert series.snapshot(run.pk)["best"] == better


def test_dots_say_when_they_were_scored_and_what_was_spent_until_then(owner: User) -> None:
    run = make_run(owner, n_generations=1, population=3)
    found = series.snapshot(run.pk)
    spent = [0.72 * n for n in (5, 6, 7)]  # four references come first
    assert found["dots"]["spent"] == pytest.approx(spent, abs=0.01) and found["spent"] == pytest.approx(
        spent[-1], abs=0.01
    )
    assert found["dots"]["at"] == pytest.approx([0.7 * n for n in (5, 6, 7)], abs=0.01)


def test_generations_have_the_mean_and_spread_of_their_scores(owner: User) -> None:
    run = make_run(owner, n_generations=2, population=6)
    means = Evaluation.objects.filter(candidate__generation__number=1).values_list("mean", flat=True)
    found = series.snapshot(run.pk)["generations"][1]
    assert found["mean"] == pytest.approx(statistics.fmean(means), abs=1e-4)  # four digits travel
    assert found["spread"] == pytest.approx(statistics.pstdev(means), abs=1e-4)
    assert found["best"] == pytest.approx(max(means), abs=1e-4)


def test_held_out_scores_are_those_of_the_validation_split(owner: User) -> None:
    run = make_run(owner, state="done", n_generations=2, ending=True)
    validated = Evaluation.objects.get(split="validation", candidate=run.winner_id)
    assert series.snapshot(run.pk)["held_out"] == {"id": [run.winner_id], "mean": [validated.mean]}


def test_failed_candidates_have_no_dot(owner: User) -> None:
    run = make_run(owner, n_generations=2, population=6, n_failed=2)
    assert series.snapshot(run.pk)["n_scored"] == 10


def test_events_after_a_number_come_without_gap(owner_client: Client, owner: User) -> None:
    run = make_run(owner)
    found = history(owner_client, run, after=5).json()
    assert found["type"] == "events"
    assert [event["seq"] for event in found["events"]] == list(range(6, run.next_seq))


def test_who_knows_everything_gets_no_events(owner_client: Client, owner: User) -> None:
    run = make_run(owner)
    assert history(owner_client, run, after=run.next_seq - 1).json()["events"] == []


@pytest.mark.parametrize("after", [None, "", "-1", "x", "1e3", "9" * 30, "٣", 10**9])
def test_any_other_number_gets_a_snapshot(owner_client: Client, owner: User, after: object) -> None:
    assert history(owner_client, make_run(owner, n_generations=1), after).json()["type"] == "snapshot"


def test_who_missed_very_much_gets_a_snapshot(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(owner)
    monkeypatch.setattr(series, "MAX_EVENTS", 3)
    assert series.catch_up(run.pk, run.next_seq - 4)["type"] == "events"
    assert series.catch_up(run.pk, run.next_seq - 5)["type"] == "snapshot"


def test_an_event_recorded_later_is_found(owner: User) -> None:
    run = make_run(owner, n_generations=1)
    seq = events.record(run.pk, "run.state", {"state": "paused", "message": "", "stopping": False})
    found = series.catch_up(run.pk, run.next_seq - 1)
    assert found["type"] == "events" and [event["seq"] for event in found["events"]] == [seq]


def test_history_is_the_owners_alone(
    owner: User, owner_client: Client, member_client: Client, stranger_client: Client
) -> None:
    run = make_run(owner, n_generations=1)
    assert history(owner_client, run).status_code == 200
    assert history(member_client, run).status_code == 404
    assert history(stranger_client, run).status_code == 302


def test_ten_thousand_candidates_stay_usable(owner: User, owner_client: Client) -> None:
    """At most 15 queries and 200 kB each for the page and its history, and no best is lost to thinning."""
    run = _large_run(owner, 10_000)
    with CaptureQueriesContext(connection) as queries:
        answer = history(owner_client, run)
    found = answer.json()
    assert len(queries) <= 15 and len(answer.content) <= 200_000
    assert found["n_scored"] == 10_000
    assert set(found["best"]) <= set(found["dots"]["number"])
    assert found["dots"]["number"][-200:] == list(range(9_801, 10_001))
    pills()  # what the bar of every page says is asked once in a few seconds, not by each page
    with CaptureQueriesContext(connection) as queries:
        page = owner_client.get(reverse("runs:detail", args=[run.pk]))
    assert len(queries) <= 16 and len(page.content) <= 200_000
    best = Candidate.objects.filter(run=run, evaluations__split="search").order_by("-evaluations__fitness")[0]
    for address in (f"{page.request['PATH_INFO']}?part=live", reverse("runs:candidate", args=[run.pk, best.pk])):
        outcomes._kept.clear()
        with CaptureQueriesContext(connection) as queries:
            assert owner_client.get(address).status_code == 200
        assert len(queries) <= 21


def _large_run(owner: User, n: int) -> Run:
    """`n` candidates in generations of 20, with scores all over the place; written by the database itself, which takes a second."""
    run = make_run(owner, n_generations=0, budget=n)
    generations = f"""
        INSERT INTO runs_generation (run_id, number, population_digest, environment)
        SELECT '{run.pk}', i, 'p', '{{}}' FROM generate_series(0, {n} / 20 - 1) i"""
    candidates = f"""
        INSERT INTO runs_candidate (run_id, generation_id, kind, index, name, genome, recipe, recipe_digest)
        SELECT g.run_id, g.id, 'evolved', i, 'g' || g.number || '.' || i, ARRAY[]::float8[], r.recipe, 'd'
        FROM runs_generation g, generate_series(0, 19) i, (SELECT recipe FROM runs_candidate WHERE run_id = '{run.pk}' LIMIT 1) r
        WHERE g.run_id = '{run.pk}'"""
    evaluations = f"""
        INSERT INTO runs_evaluation (run_id, candidate_id, split, rank, status, attempts, lease_token, lease_owner, failure_kind, failure,
                                     fitness,
                                     mean, low, high, n, finished)
        SELECT c.run_id, c.id, 'search', 10, 'done', 1, 1, '', '', '', (g.number * 20 + c.index) * 7919 % 9973 / 9973.0,
               0.5, 0.4, 0.6, 50,
               now() + (g.number * 20 + c.index) * interval '1 second'
        FROM runs_candidate c JOIN runs_generation g ON g.id = c.generation_id WHERE c.run_id = '{run.pk}'"""
    scores = f"""
        INSERT INTO runs_score (evaluation_id, index, benchmark, digest, scorer, mean, low, high, n, "right", health, concerns, seconds)
        SELECT e.id, 0, 'b', 'd', 's', e.mean, e.low, e.high, e.n, e.mean, '{{}}', '{{}}', 1
        FROM runs_evaluation e WHERE e.run_id = '{run.pk}' AND e.rank = 10"""
    outcomes = f"""
        INSERT INTO runs_outcomes (score_id, scores, rest) SELECT s.id, o.scores, o.rest
        FROM runs_score s JOIN runs_evaluation e ON e.id = s.evaluation_id,
             (SELECT scores, rest FROM runs_outcomes LIMIT 1) o
        WHERE e.run_id = '{run.pk}' AND e.rank = 10"""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '60s'")  # a busy machine is no defect
        for statement in (generations, candidates, evaluations, scores, outcomes):
            cursor.execute(statement)
        cursor.execute(
            "ANALYZE runs_generation, runs_candidate, runs_evaluation, runs_score, runs_outcomes"
        )  # as autovacuum does
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        cursor.execute("SET LOCAL statement_timeout TO DEFAULT")
    return run
