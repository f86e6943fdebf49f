"""A run that is computed in a way that a worker does not know is left to workers that know it, and its page says when there is none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse

from tests.ledger import world
from webapp.exports.models import Export
from webapp.runs import versions
from webapp.runs.live.summary import summary
from webapp.runs.models import Run
from webapp.system.models import Worker
from workers.ledger import claims, exports, generations, repairs
from workers.ledger.searches import Searches

pytestmark = pytest.mark.django_db
NEWER = 3
SENTENCE = "No worker can compute this run"


@pytest.fixture
def newer_run(run: Run) -> Run:
    Run.objects.filter(pk=run.pk).update(algo_version=NEWER)
    return run


@pytest.fixture
def newer_code(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setattr(versions, "KNOWN", (*versions.KNOWN, NEWER))
        yield


def report(name: str, *known: int) -> None:
    """As a worker does."""
    Worker.objects.create(name=name, algo_versions=list(known), started=Now(), seen=Now(), ready=True)


def test_a_run_is_launched_with_the_version_of_the_code(run: Run) -> None:
    assert run.algo_version == versions.CURRENT
    assert versions.CURRENT in versions.KNOWN


def test_an_older_worker_claims_nothing_of_a_newer_run(newer_run: Run) -> None:
    assert not repairs.claimable()
    assert claims.claim("old", "0.1") is None
    newer_run.refresh_from_db()
    assert newer_run.state == "queued"


def test_an_older_worker_builds_no_model_of_a_newer_run(newer_run: Run, owner: User) -> None:
    Export.objects.create(owner=owner, candidate=newer_run.candidates.latest("pk"))
    assert not repairs.claimable()
    assert exports.claim_export("old") is None


@pytest.mark.usefixtures("newer_code")
def test_a_newer_worker_builds_it(newer_run: Run, owner: User) -> None:
    export = Export.objects.create(owner=owner, candidate=newer_run.candidates.latest("pk"))
    claim = exports.claim_export("new")
    assert claim and claim.export_id == export.pk


def test_an_older_worker_opens_no_generation_of_a_newer_run(newer_run: Run) -> None:
    assert generations.due() == []
    assert not generations.advance(newer_run.pk, Searches())
    assert not newer_run.generations.exists()


def test_an_older_worker_goes_on_with_what_it_knows(newer_run: Run, owner: User, tmp_path: object) -> None:
    other = world.launch(owner, tmp_path)  # type: ignore[arg-type]
    world.work(other)
    assert other.state == "done"
    newer_run.refresh_from_db()
    assert newer_run.state == "queued"


@pytest.mark.usefixtures("newer_code")
def test_a_newer_worker_computes_both(newer_run: Run, owner: User, tmp_path: object) -> None:
    other = world.launch(owner, tmp_path)  # type: ignore[arg-type]
    for run in (newer_run, other):
        world.work(run)
        assert run.state == "done"
        assert world.populations(run) == world.uninterrupted(run)


@pytest.mark.parametrize(("workers", "is_said"), [([], False), ([(1,)], True), ([(1,), (1, NEWER)], False)])
def test_the_page_says_when_no_worker_can_compute_it(
    newer_run: Run, owner: User, workers: list[tuple[int, ...]], is_said: bool
) -> None:
    for number, known in enumerate(workers):
        report(f"w{number}", *known)
    client = Client()
    client.force_login(owner)
    page = client.get(reverse("runs:detail", args=[newer_run.pk])).content.decode()
    assert (SENTENCE in page) == is_said


def test_a_run_that_nobody_has_to_compute_says_nothing(newer_run: Run, owner: User) -> None:
    report("w1", 1)
    for state in ("paused", "done"):
        Run.objects.filter(pk=newer_run.pk).update(state=state)
        newer_run.refresh_from_db()
        assert not summary(newer_run, owner).is_known_to_nobody
