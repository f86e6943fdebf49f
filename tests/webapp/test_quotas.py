"""What one user may take of the installation: one more is refused in words, and two who ask at once do not both get the last place."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from tests.webapp.library.folders import question_file
from tests.webapp.runs.choices import Library, draft, form, library
from webapp import env
from webapp.env import SetupError
from webapp.exports.actions import request_export
from webapp.exports.models import Export
from webapp.library.actions import add_benchmark
from webapp.library.models import Benchmark
from webapp.quotas import QuotaError
from webapp.runs import actions
from webapp.runs.launching.drafts import plan
from webapp.runs.launching.problems import DraftError
from webapp.runs.models import Run

N_AT_ONCE = 20


@pytest.fixture
def chosen(owner: User, tmp_path: Path) -> Library:
    return library(owner, tmp_path)


def limit(settings: Any, **limits: int) -> None:
    settings.QUOTAS = replace(settings.QUOTAS, **limits)


def test_runs_that_are_over_or_deleted_or_another_s_do_not_count(
    owner: User, member: User, chosen: Library, settings: Any
) -> None:
    limit(settings, n_runs=1)
    config = plan(draft(chosen)).config
    Benchmark.objects.update(owner=None)
    actions.launch(member, config, "another's")
    first = actions.launch(owner, config, "first")
    with pytest.raises(QuotaError, match="1 runs at a time are all"):
        actions.launch(owner, config, "second")
    actions.stop(first)
    second = actions.launch(owner, config, "second")
    actions.delete(second)
    actions.launch(owner, config, "third")


def test_a_run_with_its_random_search_takes_two_places_or_none(owner: User, chosen: Library, settings: Any) -> None:
    limit(settings, n_runs=1)
    with pytest.raises(QuotaError):
        actions.launch(owner, plan(draft(chosen)).config, "both", with_random_search=True)
    assert not Run.objects.exists()


def test_the_page_says_that_there_are_enough_runs_and_keeps_what_was_chosen(
    owner: User, owner_client: Client, chosen: Library, settings: Any
) -> None:
    limit(settings, n_runs=1)
    answers = [owner_client.post("/runs/new/", form(chosen, name=name, key=name)) for name in ("one", "two")]
    assert [answer.status_code for answer in answers] == [302, 200]
    page = answers[1].content.decode()
    assert "1 runs at a time are all that one may have here" in page and 'value="two"' in page
    assert owner_client.post("/runs/new/", form(chosen, name="one", key="one")).status_code == 302  # the same again
    assert Run.objects.count() == 1


def test_budget_and_population_have_a_most(chosen: Library, settings: Any) -> None:
    limit(settings, budget=40, population=10)
    plan(draft(chosen, population_size=10))
    with pytest.raises(DraftError) as refused:
        plan(draft(chosen, budget=41, population_size=11))
    said = refused.value.problems
    assert "expected 1 to 40" in said["budget"][0] and "expected at most 10" in said["population_size"][0]


def test_benchmarks_of_one_s_own_have_a_most(owner: User, chosen: Library, settings: Any, tmp_path: Path) -> None:
    limit(settings, n_benchmarks=1)
    with pytest.raises(QuotaError, match="ask who looks after"):
        add_benchmark(owner, question_file(tmp_path / "more.jsonl"), "more")
    add_benchmark(owner, question_file(tmp_path / "sums.jsonl"), chosen.benchmark.name)  # is there already
    assert Benchmark.objects.count() == 1


def test_downloads_have_a_most_in_which_those_under_way_count(
    owner: User, owner_client: Client, chosen: Library, settings: Any
) -> None:
    run = actions.launch(owner, plan(draft(chosen)).config, "run")
    first, second, third, *_ = run.candidates.order_by("pk")
    limit(settings, export_bytes=2 * chosen.first.n_bytes)
    for candidate in (first, second):
        request_export(owner, candidate)
    address = f"/runs/{run.pk}/candidates/{third.pk}/export/"
    assert "your downloads would take" in owner_client.post(address, follow=True).content.decode()
    assert Export.objects.count() == 2
    request_export(owner, first)  # is there already
    Export.objects.filter(candidate=first).update(status="done", n_bytes=0)
    request_export(owner, third)


@pytest.mark.django_db(transaction=True)
def test_of_twenty_launches_at_once_one_gets_the_last_place(owner: User, chosen: Library, settings: Any) -> None:
    limit(settings, n_runs=1)
    config, start = plan(draft(chosen)).config, Barrier(N_AT_ONCE)

    def launch(i: int) -> bool:
        try:
            start.wait(60)
            actions.launch(owner, config, f"run {i}")
            return True
        except QuotaError:
            return False
        finally:
            connection.close()

    with ThreadPoolExecutor(N_AT_ONCE) as threads:
        answers = list(threads.map(launch, range(N_AT_ONCE)))
    assert answers.count(True) == 1
    assert Run.objects.count() == 1


@pytest.mark.parametrize("wrong", ["0", "-1", "many", "1.5", "1" * 12, "２"])
def test_a_limit_is_a_number(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("PROGENY_MAX_RUNS", wrong)
    with pytest.raises(SetupError, match=r"PROGENY_MAX_RUNS is .*, expected a whole number of at least 1"):
        env.quotas()
    monkeypatch.setenv("PROGENY_MAX_RUNS", "3")
    assert env.quotas().n_runs == 3
