"""Trials: what is asked of whom, who sees them, how many there may be, and what the page makes of an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from merging.recipes import Recipe, passthrough_recipe
from tests.ledger.scores import tried
from tests.webapp.runs.choices import Library, library
from tests.webapp.runs.rows import make_run
from webapp.queue import queue
from webapp.quotas import QuotaError
from webapp.sharing.actions import share
from webapp.trials import actions
from webapp.trials.models import Trial

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
START = "/trials/"


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of tasks that were sent."""
    names: list[str] = []
    monkeypatch.setattr(queue, "send_task", lambda name, *words, **options: names.append(name))
    return names


@pytest.fixture
def chosen(owner: User, tmp_path: Path) -> Library:
    return library(owner, tmp_path)


def begin(owner: User, chosen: Library) -> Trial:
    recipe = passthrough_recipe(chosen.first.model)
    return actions.start(owner, recipe, [], chosen.first.name)


def end(trial: Trial, *results: dict[str, Any]) -> Trial:
    """As a worker leaves it."""
    Trial.objects.filter(pk=trial.pk).update(status="done", result=list(results), seconds=1.5)
    return trial


def page(client: Client, trial: Trial) -> str:
    return str(client.get(reverse("trials:detail", args=[trial.pk])).content.decode())


def test_a_model_and_a_benchmark_make_a_trial(
    owner_client: Client, chosen: Library, sent: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        answer = owner_client.post(START, {"model": chosen.first.pk, "benchmark": chosen.benchmark.pk})
    trial = Trial.objects.get()
    assert answer.url == reverse("trials:detail", args=[trial.pk]) and len(sent) == 1
    assert Recipe.from_json(trial.recipe) == passthrough_recipe(chosen.first.model)
    assert [spec["name"] for spec in trial.benchmarks] == ["sums"] and trial.n_questions == 3
    assert "waits for a worker" in page(owner_client, trial)


def test_a_candidate_is_tried_on_the_benchmarks_of_its_run_by_who_may_steer_it(
    owner: User, owner_client: Client, member: User, member_client: Client
) -> None:
    run = make_run(owner, n_generations=1, population=2)
    candidate = run.candidates.get(name="g0.1")
    asked = {"candidate": candidate.pk}
    assert [member_client.get(START, asked).status_code, member_client.post(START, asked).status_code] == [404, 404]
    share(run, member, "viewer")
    assert [member_client.get(START, asked).status_code, member_client.post(START, asked).status_code] == [403, 403]
    assert "japanese-sums" in owner_client.get(START, asked).content.decode()
    owner_client.post(START, asked)
    trial = Trial.objects.get()
    assert (trial.owner, trial.name, trial.recipe) == (owner, "g0.1 of Japanese sums", candidate.recipe)
    assert [spec["name"] for spec in trial.benchmarks] == ["japanese-sums"]


@pytest.mark.parametrize("wrong", ["", "x", "0", "-1", "9" * 30, "123456"])
def test_a_candidate_that_is_not_there_is_not_found(owner_client: Client, wrong: str) -> None:
    assert owner_client.get(START, {"candidate": wrong}).status_code == 404


def test_nobody_tries_or_sees_what_is_another_s(member_client: Client, owner: User, chosen: Library) -> None:
    asked = {"model": chosen.first.pk, "benchmark": chosen.benchmark.pk}
    assert "Select a valid choice" in member_client.post(START, asked).content.decode()
    assert "Select a valid choice" in member_client.post(START, asked, headers=HTMX).content.decode()
    trial = begin(owner, chosen)
    address = reverse("trials:detail", args=[trial.pk])
    assert member_client.get(address).status_code == 404
    assert member_client.post(f"{address}forget/").status_code == 404
    assert Trial.objects.count() == 1


def test_three_at_once_are_all_and_one_that_is_cancelled_makes_room(
    owner: User, owner_client: Client, chosen: Library
) -> None:
    trials = [begin(owner, chosen) for _ in range(actions.N_AT_ONCE)]
    with pytest.raises(QuotaError, match="3 trials at a time"):
        begin(owner, chosen)
    asked = {"model": chosen.first.pk, "benchmark": chosen.benchmark.pk}
    assert "wait for one of yours" in owner_client.post(START, asked, headers=HTMX).content.decode()
    assert owner_client.post(START, asked).url == START
    owner_client.post(reverse("trials:forget", args=[trials[0].pk]))
    assert owner_client.post(START, asked).url != START


def test_the_oldest_go_when_there_are_too_many(owner: User, chosen: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "N_KEPT", 2)
    first, second, third = (end(begin(owner, chosen)) for _ in range(3))
    assert {trial.pk for trial in Trial.objects.all()} == {second.pk, third.pk} and first.pk


def test_the_page_shows_prompt_completion_what_was_read_and_what_counts(
    owner: User, owner_client: Client, chosen: Library
) -> None:
    shown = page(owner_client, end(begin(owner, chosen), tried("sums", 3, "It is <b>2</b>.")))
    assert "1 + 1 = ?" in shown and "It is &lt;b&gt;2&lt;/b&gt;." in shown and "33 % of 3" in shown
    assert shown.count("right</span>") == 1 and shown.count("wrong</span>") == 2 and "aria-busy" not in shown


@pytest.mark.parametrize(
    ("completion", "extracted", "said"),
    [(" ", None, "said nothing to any"), ("I like cats.", None, "template is the wrong one"), ("2", "2", "")],
)
def test_answers_that_nobody_can_read_are_a_warning(
    owner: User, owner_client: Client, chosen: Library, completion: str, extracted: str | None, said: str
) -> None:
    shown = page(owner_client, end(begin(owner, chosen), tried("sums", 3, completion, extracted)))
    assert said in shown and ('class="notice' in shown) == bool(said)


def test_a_failed_trial_says_why_in_words(owner: User, owner_client: Client, chosen: Library) -> None:
    trial = begin(owner, chosen)
    Trial.objects.filter(pk=trial.pk).update(
        status="failed", failure_kind="parent", failure="first has no config.json."
    )
    assert "first has no config.json." in page(owner_client, trial)


def test_the_list_of_trials_asks_the_same_however_many_there_are(
    owner: User, owner_client: Client, chosen: Library, django_assert_max_num_queries: Any
) -> None:
    for _ in range(5):
        end(begin(owner, chosen), tried("sums", 3))
    with django_assert_max_num_queries(12):
        assert owner_client.get(START).content.decode().count("33 % of 3") == 5
