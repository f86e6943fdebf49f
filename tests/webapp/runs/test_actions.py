"""What launching writes, once; and what people do with a run afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from kombu.exceptions import OperationalError
from pytest_django import DjangoCaptureOnCommitCallbacks

from tests.webapp.runs.choices import Library, draft, library
from webapp.library.models import Benchmark
from webapp.queue import queue
from webapp.runs import actions, ranks
from webapp.runs.config import RunConfig
from webapp.runs.launching.drafts import plan
from webapp.runs.models import Run
from webapp.runs.task_names import DRAIN


@pytest.fixture
def chosen(owner: User, tmp_path: Path) -> Library:
    return library(owner, tmp_path)


@pytest.fixture
def config(chosen: Library) -> RunConfig:
    return plan(draft(chosen)).config


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """Every wake-up that was sent."""
    messages: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(queue, "send_task", lambda name, args, **_: messages.append((name, args)))
    return messages


def test_a_run_starts_with_what_it_is_measured_against(owner: User, config: RunConfig) -> None:
    run = actions.launch(owner, config, "my run")
    written = run.candidates.order_by("index").values_list("kind", "index", "name")
    assert list(written) == [
        ("parent", 0, "first"),
        ("parent", 1, "second"),
        ("baseline", 2, "uniform average"),
        ("baseline", 3, "untuned TIES"),
        ("baseline", 4, "untuned DARE-TIES"),
        ("baseline", 5, "starting point"),
    ]
    assert run.candidates.get(index=3).recipe["values"] == [[{"weight": 1.0, "density": 0.5}] * 2]
    assert run.candidates.get(index=5).recipe["values"] == [[{"weight": 1.0}, {"weight": 1.0}]]


def test_all_merges_of_a_run_have_its_tokenizer_and_its_parents_their_own(owner: User, chosen: Library) -> None:
    run = actions.launch(owner, plan(draft(chosen, tokenizer="base")).config, "my run")
    found = {candidate.name: candidate.recipe["companions"]["tokenizer"] for candidate in run.candidates.all()}
    assert found == {
        "first": "same",
        "second": "same",
        "uniform average": "first",  # it has no base model
        "untuned TIES": "base",
        "untuned DARE-TIES": "base",
        "starting point": "base",
    }


def test_without_a_base_model_nothing_is_measured_from_one(owner: User, chosen: Library) -> None:
    run = actions.launch(owner, plan(draft(chosen, method="linear", base=None)).config, "my run")
    assert set(run.candidates.values_list("name", flat=True)) == {
        "first",
        "second",
        "uniform average",
        "starting point",
    }


def test_a_random_search_is_launched_beside_on_request(owner: User, config: RunConfig) -> None:
    run = actions.launch(owner, config, "my run", "key", with_random_search=True)
    (sibling,) = run.baseline_runs.all()
    assert RunConfig.from_json(sibling.config) == replace(config, search="random")
    assert actions.launch(owner, config, "my run", "key", with_random_search=True) == run and Run.objects.count() == 2


def test_references_are_asked_on_search_first_and_on_validation(owner: User, config: RunConfig) -> None:
    run = actions.launch(owner, config, "my run")
    asked = set(run.evaluations.values_list("split", "rank", "status"))
    assert asked == {
        ("search", ranks.REFERENCE_SEARCH, "pending"),
        ("validation", ranks.REFERENCE_VALIDATION, "pending"),
    }
    assert run.evaluations.count() == 12


def test_the_configuration_is_frozen_with_its_digest(owner: User, config: RunConfig) -> None:
    run = Run.objects.get(pk=actions.launch(owner, config, "my run").pk)
    assert RunConfig.from_json(run.config) == config
    assert (run.config_digest, run.seed, run.budget, run.state) == (config.digest(), 7, 40, "queued")


def test_launching_tells_the_outbox_and_wakes_workers_after_the_transaction(
    owner: User,
    config: RunConfig,
    sent: list[tuple[str, list[str]]],
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        run = actions.launch(owner, config, "my run")
        assert sent == []
    assert sent == [(DRAIN, [str(run.pk)])]
    event = run.events.get()
    assert (event.seq, event.kind, event.payload["state"]) == (1, "run.state", "queued")


def test_a_second_press_gives_the_same_run(owner: User, member: User, config: RunConfig) -> None:
    Benchmark.objects.update(owner=None)
    run = actions.launch(owner, config, "my run", "key")
    assert actions.launch(owner, config, "pressed again", "key") == run
    assert run.candidates.count() == 6
    assert actions.launch(member, config, "somebody else's", "key") != run


def test_a_run_stands_when_the_broker_is_away(
    owner: User,
    config: RunConfig,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(queue, "send_task", unreachable)
    with django_capture_on_commit_callbacks(execute=True):
        run = actions.launch(owner, config, "my run")
    assert Run.objects.filter(pk=run.pk, state="queued").exists()


def test_a_launch_that_fails_leaves_nothing(owner: User, config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(actions.events, "record", broken)
    with pytest.raises(OSError, match="disk full"):
        actions.launch(owner, config, "my run")
    assert not Run.objects.exists()


def test_pause_and_resume_wake_workers_only_when_something_changed(
    owner: User,
    config: RunConfig,
    sent: list[tuple[str, list[str]]],
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    run = actions.launch(owner, config, "my run")
    with django_capture_on_commit_callbacks(execute=True):
        assert (actions.pause(run), actions.pause(run)) == (True, False)
        assert (actions.resume(run), actions.resume(run)) == (True, False)
    assert len(sent) == 2


def test_a_run_is_deleted_once_and_ends_with_it(owner: User, config: RunConfig) -> None:
    run = actions.launch(owner, config, "my run")
    assert (actions.delete(run), actions.delete(run)) == (True, False)
    run.refresh_from_db()
    assert (run.state, run.winner) == ("stopped", None)
    assert run.deleted_at is not None and run.ended is not None
