"""Probes: scored whenever somebody asks, also after the end, and nothing that the search or the exam ever sees."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from merging.recipes import Recipe
from tests.ledger import world
from webapp.leases import MAX_ATTEMPTS
from webapp.runs import probes, transitions
from webapp.runs.board import leaderboard
from webapp.runs.live import series, summary
from webapp.runs.models import Candidate, Evaluation, Run
from webapp.runs.report import report
from workers import pipeline
from workers.failures import Failure
from workers.ledger import claims, generations, repairs, results
from workers.ledger.searches import Searches

pytestmark = pytest.mark.django_db


def ask(run: Run, n: int = 2) -> Candidate:
    """Ask for `n` models that differ from the run's first parent; returns that parent."""
    whole = run.candidates.filter(kind="parent")[0]
    others = [Recipe.from_json(c.recipe) for c in run.candidates.exclude(pk=whole.pk).order_by("pk")[:n]]
    assert probes.ask(whole, [(f"without {i}", recipe) for i, recipe in enumerate(others)]) == n
    return whole


def n_open(run: Run) -> int:
    return run.evaluations.filter(split="probe", status__in=("pending", "leased")).count()


def test_probes_come_after_the_generation_in_which_they_were_asked_for(run: Run) -> None:
    memory = Searches()
    world.work(run, memory, n=7)
    ask(run)
    claimed = []
    while len(claimed) < 12:
        claim = world.take()
        claimed.append((claim.kind, claim.generation))
        world.finish(claim)
        generations.advance(run.pk, memory)
    first = claimed.index(("probe", None))
    assert {generation for kind, generation in claimed[:first] if kind == "evolved"} == {0}
    assert claimed[first + 1] == ("probe", None)
    assert {generation for kind, generation in claimed[first:] if kind == "evolved"} == {1}


def test_a_run_that_has_ended_is_probed_and_stays_as_it_ended(run: Run) -> None:
    world.work(run)
    ended, seq = run.ended, run.next_seq
    whole = ask(run)
    assert repairs.claimable()
    world.work(run)
    assert (run.state, run.ended, run.next_seq) == ("done", ended, seq + 2)
    assert [e.status for e in run.evaluations.filter(candidate__probe_of=whole)] == ["done", "done"]
    assert not repairs.claimable()
    world.check(run)


def test_probes_are_nothing_to_the_search(run: Run) -> None:
    world.work(run, n=9)
    ask(run)
    world.work(run)
    assert world.populations(run) == world.uninterrupted(run)


def test_no_exam_ranking_chart_or_report_has_a_probe(run: Run) -> None:
    world.work(run, n=9)
    ask(run)
    world.work(run)
    probed = {c.pk for c in run.candidates.filter(kind="probe")}
    assert {e.split for e in Evaluation.objects.filter(candidate__in=probed)} == {"probe"}
    board = leaderboard.board(run, 12, everything=True)
    assert len(board.rows) == 12 + 3 + 2 and not probed & {row.candidate.pk for row in board.rows}
    assert not probed & {reference["id"] for reference in series.snapshot(run.pk)["references"]}
    assert "without 0" not in str(report(run))


def test_the_end_of_a_run_does_not_wait_for_probes(run: Run) -> None:
    memory = Searches()
    while run.state != "finishing":
        world.work(run, memory, n=1)
    ask(run, n=1)
    while claim := claims.claim("w1", "test"):
        if claim.split == "probe":
            break
        world.finish(claim)
    assert claim and generations.advance(run.pk, memory)
    run.refresh_from_db()
    assert run.state == "done"
    assert world.finish(claim)
    world.check(run)


@pytest.mark.parametrize("state", ["paused", "failed", "deleted"])
def test_a_run_that_rests_is_not_probed(run: Run, state: str) -> None:
    world.work(run, n=9)
    ask(run)
    if state == "paused":
        transitions.pause(run.pk)
    elif state == "failed":
        transitions.fail(run.pk, "The disk is full.")
    else:
        world.work(run, n=0)
        Run.objects.filter(pk=run.pk).update(deleted_at=Now())
    assert claims.claim("w1", "test") is None and not repairs.claimable()
    assert n_open(run) == (0 if state == "failed" else 2)


def test_what_is_known_is_not_asked_again_and_what_failed_is(run: Run) -> None:
    world.work(run)
    whole = ask(run)
    first = world.take()
    results.fail(first, Failure("candidate", "not finite", "It gave no finite numbers."))
    world.finish(world.take())
    models = [(c.name, Recipe.from_json(c.recipe)) for c in whole.probes.order_by("index")]
    assert probes.ask(whole, models) == 1
    assert world.take().name == first.name


def test_a_failed_probe_is_no_failure_of_the_run(run: Run) -> None:
    world.work(run)
    ask(run, n=1)
    results.fail(world.take(), Failure("candidate", "not finite", "It gave no finite numbers."))
    run.refresh_from_db()
    assert summary.summary(run, run.owner).failures == []


def test_files_that_changed_after_the_end_fail_a_probe_and_pause_nothing(run: Run) -> None:
    world.work(run)
    ask(run, n=1)
    while claim := claims.claim("w1", "test"):
        pipeline._accept_failure(claim, Failure("run", "parent", "The files of a have changed."))
    run.refresh_from_db()
    probe = run.evaluations.get(split="probe")
    assert (run.state, probe.status, probe.attempts) == ("done", "failed", MAX_ATTEMPTS)


def test_a_late_result_for_a_run_that_failed_is_refused(run: Run) -> None:
    world.work(run, n=9)
    ask(run, n=1)
    Evaluation.objects.filter(run=run, status="pending").exclude(split="probe").update(status="dropped")
    claim = world.take()
    assert claim.split == "probe"
    transitions.fail(run.pk, "The disk is full.")
    assert not world.finish(claim)


def test_only_probes_leave_something_out_of_another(run: Run) -> None:
    parent = run.candidates.filter(kind="parent")[0]
    for changes in ({"kind": "probe"}, {"probe_of": parent}):
        with pytest.raises(IntegrityError, match="candidate_probe_is_of_another"), transaction.atomic():
            Candidate.objects.filter(run=run, kind="baseline").update(**changes)
