"""Winners that become parents, and runs that follow: each happens once, whoever dies on the way and whoever else is at it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction

from merging.folders import BuiltFile
from tests.ledger import world
from tests.webapp.library.folders import model_folder
from webapp.exports.models import Export
from webapp.library import actions as library
from webapp.library.actions import hide
from webapp.library.models import Parent
from webapp.lineage import actions, progress
from webapp.lineage.models import Adoption, Sequel
from webapp.runs import transitions
from webapp.runs.models import Run
from workers.failures import Failure
from workers.ledger import exports

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def data(settings: object, tmp_path: Path) -> Iterator[Path]:
    settings.DATA_DIR = tmp_path / "data"  # type: ignore[attr-defined]
    yield tmp_path


def launch_both(owner: User, folder: Path) -> Run:
    """Two runs of which the second waits for the first; its other parent is c."""
    first = world.config(folder)
    then = world.config(folder, parents=(first.parents[0], first.parents[2]), population_size=None)
    return actions.launch_both(owner, first, then, "both", "k1")


def build(n_layers: int = world.N_LAYERS) -> None:
    """What a worker does for the export that has waited longest."""
    claim = exports.claim_export("w1")
    assert claim is not None, "nothing is to be built"
    model_folder(claim.partial, n_layers=n_layers, fill=claim.candidate_id)
    exports.finish_export(claim, [BuiltFile("config.json", 1, "0" * 64)])


@pytest.fixture
def both(owner: User, tmp_path: Path) -> Run:
    return launch_both(owner, tmp_path)


def followed(first: Run) -> Run:
    """The second run, which there must be."""
    sequel = Sequel.objects.get(first=first)
    assert sequel.state == "launched" and sequel.run is not None
    return sequel.run


def test_a_candidate_becomes_a_parent_of_its_owner_alone(run: Run, owner: User) -> None:
    world.work(run)
    candidate = run.candidates.get(name="g1.2")
    adoption = actions.adopt(candidate)
    assert adoption.state == "building"
    build()
    assert progress.go_on() == []
    adoption.refresh_from_db()
    assert adoption.state == "ready" and adoption.parent is not None
    assert (adoption.parent.owner, adoption.parent.name) == (owner, "a-run-g1-2")
    assert adoption.parent.folder.endswith(f"exports/{candidate.exports.get().pk}")
    assert adoption.parent.summary == "g1.2 of the run “a run”."


def test_asking_twice_for_a_parent_builds_it_once(run: Run) -> None:
    world.work(run)
    candidate = run.candidates.get(name="g0.0")
    assert actions.adopt(candidate) == actions.adopt(candidate)
    build()
    progress.go_on()
    actions.adopt(candidate)
    assert Export.objects.count() == 1 and exports.claim_export("w1") is None


def test_the_bytes_of_a_new_parent_are_read_in_no_transaction(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database ends sessions whose transaction waits for 15 seconds: a large model would never be there."""
    world.work(run)
    actions.adopt(run.candidates.get(name="g0.0"))
    build()
    depth, facts_of = len(connection.savepoint_ids), library._facts
    seen: list[int] = []

    def facts(folder: Path) -> object:
        seen.append(len(connection.savepoint_ids) - depth)
        return facts_of(folder)

    monkeypatch.setattr(library, "_facts", facts)
    progress.go_on()
    assert seen == [0] and Parent.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_parent_that_another_process_is_at_is_left_to_it(run: Run) -> None:
    world.work(run)
    actions.adopt(run.candidates.get(name="g0.0"))
    build()
    with progress._alone_at(Adoption.objects.get().pk) as is_alone:
        assert is_alone and progress.is_due()
        other = threading.Thread(target=lambda: (progress.go_on(), connection.close()))
        other.start()
        other.join()
        assert not Parent.objects.exists()
    progress.go_on()
    assert Parent.objects.count() == 1 and not progress.is_due()


def test_two_parents_of_one_name_are_told_apart(run: Run, owner: User, tmp_path: Path) -> None:
    other = world.launch(owner, tmp_path)
    for one in (run, other):
        world.work(one)
        actions.adopt(one.candidates.get(name="g0.0"))
        build()
    progress.go_on()
    names = list(Parent.objects.values_list("name", flat=True))
    assert names == ["a-run-g0-0", f"a-run-g0-0-{str(other.pk)[:8]}"]


def test_what_was_built_and_cannot_be_a_parent_says_why_and_is_tried_again(run: Run) -> None:
    world.work(run)
    adoption = actions.adopt(run.candidates.get(name="g0.0"))
    build()
    config = exports.folder() / str(adoption.candidate.exports.get().pk) / "config.json"
    text = config.read_text()
    config.write_text("{")
    progress.go_on()
    adoption.refresh_from_db()
    assert adoption.state == "failed" and "config.json" in adoption.reason
    config.write_text(text)
    actions.adopt(adoption.candidate)
    progress.go_on()
    adoption.refresh_from_db()
    assert adoption.state == "ready" and adoption.reason == ""


def test_a_parent_that_was_taken_off_the_list_comes_back_when_it_is_asked_for(run: Run) -> None:
    world.work(run)
    candidate = run.candidates.get(name="g0.0")
    actions.adopt(candidate)
    build()
    progress.go_on()
    hide(Parent.objects.get())
    actions.adopt(candidate)
    progress.go_on()
    assert Parent.objects.get().hidden_at is None


def test_the_winner_becomes_model_a_of_the_run_that_follows(both: Run) -> None:
    world.work(both)
    assert both.state == "done"
    assert progress.go_on() == [both.pk]
    build()
    (then_id,) = progress.go_on()
    then = followed(both)
    assert then.pk == then_id and then.name == "both, layer path"
    a, other = then.config["parents"]
    assert (a["name"], other["name"]) == (f"both-{both.winner.name.replace('.', '-')}", "c")
    assert Adoption.objects.get().candidate == both.winner
    assert world.work(then).state == "done"


def test_nothing_follows_before_the_first_run_is_done(both: Run) -> None:
    world.work(both, n=8)
    assert progress.go_on() == []
    assert Sequel.objects.get().state == "waiting"


def test_a_winner_that_is_a_parent_already_is_not_built_again(both: Run) -> None:
    world.work(both)
    actions.adopt(both.winner)
    build()
    progress.go_on()
    followed(both)
    assert Export.objects.count() == 1


def test_whatever_is_repeated_one_run_follows(both: Run) -> None:
    world.work(both)
    for _ in range(3):
        progress.go_on()
    build()
    for _ in range(3):
        progress.go_on()
    assert Run.objects.count() == 2 and Parent.objects.count() == 1


def test_launching_twice_with_one_key_is_one_pair(both: Run, owner: User, tmp_path: Path) -> None:
    assert launch_both(owner, tmp_path) == both
    assert Sequel.objects.count() == 1


def test_a_web_process_that_dies_between_both_launches_neither(
    owner: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(**kwargs: object) -> None:
        raise SystemExit

    monkeypatch.setattr(Sequel.objects, "get_or_create", die)
    with pytest.raises(SystemExit):
        launch_both(owner, tmp_path)
    assert not Run.objects.exists()


def test_the_database_refuses_a_second_run_after_the_first(both: Run) -> None:
    with pytest.raises(IntegrityError, match="lineage_sequel_first_id"), transaction.atomic():
        Sequel.objects.create(first=both, name="twice", config={})


@pytest.mark.parametrize("end", [transitions.stop, lambda pk: transitions.fail(pk, "The disk is full.")])
def test_after_a_run_that_was_not_done_a_person_decides(both: Run, end: object) -> None:
    world.work(both, n=12)
    end(both.pk)  # type: ignore[operator]
    world.work(both)
    assert progress.go_on() == []
    sequel = Sequel.objects.get()
    assert sequel.state == "halted"
    best = actions.model_a(both)
    assert actions.go_on(sequel)
    build()
    progress.go_on()
    assert followed(both).state == "queued"
    assert Adoption.objects.get().candidate == best
    sequel.refresh_from_db()
    assert not actions.go_on(sequel)


def test_a_second_run_that_was_called_off_follows_only_when_somebody_takes_that_back(both: Run) -> None:
    sequel = Sequel.objects.get()
    assert actions.call_off(sequel)
    world.work(both)
    assert progress.go_on() == [] and not Adoption.objects.exists()
    sequel.refresh_from_db()
    assert sequel.state == "called off"
    assert actions.go_on(sequel)
    build()
    progress.go_on()
    followed(both)
    assert not actions.call_off(sequel)


def test_a_second_run_is_called_off_while_its_model_a_is_built(both: Run) -> None:
    world.work(both)
    progress.go_on()
    assert actions.call_off(Sequel.objects.get())
    build()
    assert progress.go_on() == []
    assert (Adoption.objects.get().state, Run.objects.count()) == ("ready", 1)


def test_calling_off_can_be_taken_back_before_the_end(both: Run) -> None:
    sequel = Sequel.objects.get()
    assert not actions.go_on(sequel)
    actions.call_off(sequel)
    assert actions.go_on(sequel)
    assert Sequel.objects.get().state == "waiting"
    world.work(both)
    assert progress.go_on() == [both.pk]


def test_nobody_goes_on_without_a_score_or_before_the_end(both: Run) -> None:
    assert not actions.go_on(Sequel.objects.get())
    transitions.stop(both.pk)
    assert not actions.go_on(Sequel.objects.get())
    assert Sequel.objects.get().state == "halted"


def test_a_deleted_run_is_followed_by_none(both: Run) -> None:
    world.work(both)
    Run.objects.filter(pk=both.pk).update(deleted_at=both.created)
    assert progress.go_on() == [] and not Adoption.objects.exists()


def test_a_winner_that_cannot_be_built_halts_the_second_run_until_somebody_tries_again(both: Run) -> None:
    world.work(both)
    progress.go_on()
    claim = exports.claim_export("w1")
    assert claim is not None
    exports.fail_export(claim, Failure("run", "disk", "The disk is full."))
    assert progress.go_on() == []
    sequel = Sequel.objects.get()
    assert (sequel.state, sequel.reason) == ("failed", "The disk is full.")
    assert actions.go_on(sequel)
    build()
    progress.go_on()
    followed(both)


@pytest.mark.parametrize(
    ("change", "reason"), [({"groups": "9"}, "layer groups are '9'"), ({"of_tomorrow": 1}, "of_tomorrow")]
)
def test_a_second_run_that_cannot_be_launched_says_why(both: Run, change: dict[str, object], reason: str) -> None:
    world.work(both)
    progress.go_on()
    build()
    Sequel.objects.update(config=Sequel.objects.get().config | change)
    assert progress.go_on() == []
    sequel = Sequel.objects.get()
    assert sequel.state == "failed" and reason in sequel.reason
    assert Run.objects.count() == 1 and Parent.objects.count() == 1


@pytest.mark.parametrize("died_in", ["adopt", "register_parent", "launch"])
def test_a_worker_that_dies_half_way_leaves_the_rest_to_the_next(
    both: Run, monkeypatch: pytest.MonkeyPatch, died_in: str
) -> None:
    """Killed after the step did its work and before its transaction ended."""
    world.work(both)
    module = {"launch": progress.actions}.get(died_in, progress)
    with monkeypatch.context() as dying:
        alive = getattr(module, died_in)

        def die(*args: object, **kwargs: object) -> None:
            alive(*args, **kwargs)
            raise SystemExit

        dying.setattr(module, died_in, die)
        with pytest.raises(SystemExit):
            progress.go_on()
            build()
            progress.go_on()
            progress.go_on()
    progress.go_on()
    if Export.objects.filter(status="pending").exists():
        build()
    progress.go_on()
    followed(both)
    assert (Run.objects.count(), Parent.objects.count(), Export.objects.count()) == (2, 1, 1)


@pytest.mark.django_db(transaction=True)
def test_many_workers_at_once_launch_one_run(owner: User, tmp_path: Path) -> None:
    both = launch_both(owner, tmp_path)
    world.work(both)

    def all_at_once() -> None:
        ready = threading.Barrier(4)

        def look() -> None:
            ready.wait()
            progress.go_on()
            connection.close()

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    all_at_once()
    build()
    all_at_once()
    all_at_once()
    followed(both)
    assert (Run.objects.count(), Parent.objects.count(), Export.objects.count()) == (2, 1, 1)
