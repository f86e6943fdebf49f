"""People take turns, however much each of them has waiting."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.ledger import world
from webapp.exports.actions import request_export
from webapp.library.models import Fetch
from webapp.runs.live.summary import summary
from webapp.runs.models import Run
from webapp.trials.models import Trial
from workers.ledger import exports, generations, trials
from workers.ledger.claims import Claim
from workers.ledger.leases import claim_oldest
from workers.ledger.searches import Searches

pytestmark = pytest.mark.django_db
N_FLOOD = 6


@pytest.fixture
def other() -> User:
    return User.objects.create(username="other")


@pytest.fixture
def flood(owner: User, tmp_path: Path) -> list[Run]:
    """One person's."""
    return [world.launch(owner, tmp_path) for _ in range(N_FLOOD)]


def work_of(workers: list[Claim | None]) -> list[Claim]:
    """Every busy worker ends what it has, in turn, and takes the next: the claims in their order."""
    taken = []
    for place, claim in enumerate(workers):
        if claim:
            world.finish(claim)
        workers[place] = world.take(f"w{place}")
        taken.append(workers[place])
    return taken


@pytest.mark.parametrize("n_workers", [1, 3])
def test_who_comes_to_a_flood_is_served_within_one_claim_of_each_busy_worker(
    flood: list[Run], other: User, tmp_path: Path, n_workers: int
) -> None:
    workers: list[Claim | None] = [None] * n_workers
    work_of(workers), work_of(workers)
    late = world.launch(other, tmp_path)
    generations.advance(late.pk, Searches())
    taken = [claim.run_id for _ in range(4) for claim in work_of(workers)]
    turns = [place for place, run_id in enumerate(taken) if run_id == late.pk]
    assert turns[0] == 0 and all(after - before <= max(n_workers, 2) for before, after in pairwise(turns))
    assert len(turns) >= len(taken) // 2 - 1


def test_one_person_s_runs_share_what_is_theirs(flood: list[Run], other: User, tmp_path: Path) -> None:
    world.launch(other, tmp_path)
    taken = [world.take().run_id for _ in range(2 * N_FLOOD)]
    assert all(taken.count(run.pk) == 1 for run in flood)


def test_whoever_has_waited_longest_is_next(flood: list[Run], other: User, tmp_path: Path) -> None:
    """Of three people and one worker."""
    people = [other, User.objects.create(username="third")]
    owners = {world.launch(person, tmp_path).pk: person.pk for person in people}
    turns = []
    for _ in range(9):
        claim = world.take()
        world.finish(claim)
        turns.append(owners.get(claim.run_id, 0))
    assert all(len(set(turns[start : start + 3])) == 3 for start in range(7))


def test_a_queued_run_says_how_many_of_one_s_own_come_before_it_and_nothing_of_others(
    flood: list[Run], other: User, tmp_path: Path, client: Client
) -> None:
    late = world.launch(other, tmp_path)
    world.take()
    before = [summary(run, run.owner).n_before for run in Run.objects.filter(owner=flood[0].owner).order_by("created")]
    assert before == [None, *range(N_FLOOD - 1)]
    assert summary(late, other).n_before == 0 and summary(flood[-1], other).n_before is None
    client.force_login(flood[0].owner)
    page = client.get("/").content.decode()
    assert "next of yours" in page and f"after {N_FLOOD - 2} others of yours" in page


def trial_of(owner: User, run: Run) -> None:
    Trial.objects.create(owner=owner, name="a", recipe={}, benchmarks=[], n_questions=1)


def export_of(owner: User, run: Run) -> None:
    request_export(owner, run.candidates.filter(kind="evolved").exclude(exports__isnull=False)[0])


def fetch_of(owner: User, run: Run) -> None:
    Fetch.objects.create(owner=owner, task=uuid4().hex, metric="exact_match")


@pytest.mark.parametrize(
    ("wait", "claim"),
    [
        (trial_of, lambda: trials.claim_trial("w1")),
        (export_of, lambda: exports.claim_export("w1")),
        (fetch_of, lambda: claim_oldest(Fetch, "w1")),
    ],
)
def test_other_work_takes_turns_too(
    run: Run, other: User, tmp_path: Path, wait: Callable[[User, Run], None], claim: Callable[[], object]
) -> None:
    """Of four that somebody asked for and one that came last, the last is the second."""
    run = world.work(run)
    late = world.work(world.launch(other, tmp_path))
    for _ in range(4):
        wait(run.owner, run)
    wait(other, late)
    rows = {trial_of: Trial, export_of: late.candidates.model.exports.rel.related_model, fetch_of: Fetch}[wait]
    served = []
    for _ in range(5):
        assert claim()
        newest = rows.objects.order_by("-lease_token").exclude(lease_token=None)[0]
        served.append(newest.owner_id)
    assert served.index(other.pk) == 1
