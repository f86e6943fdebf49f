"""What a form amounts to: memory, room and time of its runs, the recipe as a file, and the candidate that was tried first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from tests.webapp.runs.choices import Library, draft, form, library, path_form
from webapp.runs.launching import estimates
from webapp.runs.launching.drafts import plan
from webapp.runs.launching.outlook import recipe_yaml, starting_point, tried
from webapp.runs.launching.plans import Plan
from webapp.runs.models import Run
from webapp.system.models import Worker
from webapp.trials.models import Trial

SUMMARY = "/runs/new/summary/"
TRY = "/runs/new/try/"


@pytest.fixture
def chosen(owner: User, tmp_path: Path) -> Library:
    return library(owner, tmp_path)


@pytest.fixture
def planned(chosen: Library) -> Plan:
    return plan(draft(chosen))


def answered(trial: Trial, seconds: float, each: float) -> None:
    """The trial as a worker leaves it."""
    question = {
        "prompt": "1+1",
        "completion": "2",
        "extracted": "2",
        "expected": "2",
        "language": None,
        "spoken": None,
        "right": True,
        "score": 1.0,
        "finished": True,
        "seconds": each,
        "error": None,
    }
    name = trial.benchmarks[0]["name"]
    result = [{"benchmark": name, "scorer": "s", "as_chat": False, "questions": [question] * 3}]
    Trial.objects.filter(pk=trial.pk).update(status="done", result=result, seconds=seconds, finished=timezone.now())


def worker(name: str, device: str) -> None:
    now = timezone.now()
    Worker.objects.create(name=name, device=device, code_version="1", started=now, seen=now, ready=True)


def test_one_candidate_is_tried_at_the_starting_point(chosen: Library, owner_client: Client, planned: Plan) -> None:
    answer = owner_client.post(TRY, form(chosen), headers={"HX-Request": "true"})
    trial = Trial.objects.get()
    assert trial.recipe == starting_point(planned.config).to_json() and trial.n_questions == 3
    assert f'id="trial-{trial.pk}"' in answer.content.decode()
    assert not Run.objects.exists()


def test_without_scripts_the_trial_has_a_page(chosen: Library, owner_client: Client) -> None:
    answer = owner_client.post(TRY, form(chosen))
    assert answer.url == f"/trials/{Trial.objects.get().pk}/"


def test_what_stands_in_the_way_of_a_launch_stands_in_the_way_of_a_trial(chosen: Library, owner_client: Client) -> None:
    answer = owner_client.post(TRY, form(chosen, budget="0"), headers={"HX-Request": "true"})
    assert "stands in the way of a launch" in answer.content.decode()
    assert "the budget is 0 candidates" in owner_client.post(TRY, form(chosen, budget="0")).content.decode()
    assert not Trial.objects.exists()


def test_nothing_is_known_of_the_time_until_a_candidate_was_tried(
    chosen: Library, owner: User, owner_client: Client, planned: Plan
) -> None:
    assert "known when one candidate was tried" in owner_client.post(SUMMARY, form(chosen)).content.decode()
    owner_client.post(TRY, form(chosen))
    answered(Trial.objects.get(), seconds=3.5, each=0.5)
    found = tried(owner, planned.config)
    assert found == estimates.Tried(2.0, {chosen.benchmark.digest: 0.5})
    cost = estimates.cost(planned, found)
    assert cost.is_tried and cost.seconds is not None and cost.seconds > 40 * (2.0 + 20 * 0.5)
    assert "from the candidate that you tried" in owner_client.post(SUMMARY, form(chosen)).content.decode()


def test_a_trial_of_another_recipe_or_person_says_nothing(
    chosen: Library, owner: User, member: User, owner_client: Client, planned: Plan
) -> None:
    owner_client.post(TRY, form(chosen, method="ties", **{"ties-lambda": "1"}))
    answered(Trial.objects.get(), 3.5, 0.5)
    assert tried(owner, planned.config) is None
    ties = plan(draft(chosen, method="ties")).config
    assert tried(owner, ties) is not None and tried(member, ties) is None


def test_two_workers_take_half_the_time_and_gpus_are_counted_in_hours(planned: Plan, chosen: Library) -> None:
    found = estimates.Tried(2.0, {chosen.benchmark.digest: 0.5})
    alone = estimates.cost(planned, found)
    assert alone.seconds is not None and alone.gpu_hours is None
    worker("one", "NVIDIA H100, 80 GiB")
    worker("two", "CPU, 2 cores")
    shared = estimates.cost(planned, found)
    assert shared.seconds == pytest.approx(alone.seconds / 2)
    assert shared.gpu_hours == pytest.approx(alone.seconds / 2 / 3600)


def test_a_worker_that_takes_no_work_does_not_shorten_a_run(planned: Plan, chosen: Library) -> None:
    found = estimates.Tried(2.0, {chosen.benchmark.digest: 0.5})
    alone = estimates.cost(planned, found)
    worker("one", "CPU, 2 cores")
    worker("two", "NVIDIA H100, 80 GiB")
    Worker.objects.filter(name="two").update(drained=timezone.now())
    assert estimates.cost(planned, found) == alone


def test_a_worker_that_still_starts_is_no_gpu(planned: Plan, chosen: Library) -> None:
    worker("one", "")
    assert estimates.cost(planned, estimates.Tried(2.0, {chosen.benchmark.digest: 0.5})).gpu_hours is None


def test_memory_is_the_model_in_what_it_computes_in_and_what_it_is_made_of(planned: Plan, chosen: Library) -> None:
    memory = estimates.cost(planned).memory
    assert memory == estimates.Memory(4 * chosen.first.n_parameters, 3 * chosen.first.n_bytes)


def test_the_layers_of_all_parents_are_the_memory_of_a_path(chosen: Library, owner_client: Client) -> None:
    page = owner_client.post(SUMMARY, path_form(chosen)).content.decode()
    assert "for what it is made of" not in page and "no other model is kept" in page


def test_of_two_runs_the_winner_between_them_takes_room(chosen: Library, owner_client: Client, planned: Plan) -> None:
    assert estimates.built_bytes(planned.config) == 4 * chosen.first.n_parameters
    page = owner_client.post(SUMMARY, path_form(chosen, space="both")).content.decode()
    assert "First run" in page and "Second run" in page and "for its winner" in page


def test_the_file_of_the_starting_point_comes_when_it_is_unfolded(
    chosen: Library, owner_client: Client, planned: Plan
) -> None:
    assert 'id="yaml"' not in owner_client.post(SUMMARY, form(chosen)).content.decode()
    page = owner_client.post(SUMMARY, form(chosen, yaml="1")).content.decode()
    assert 'id="yaml"' in page and "merge_method: task_arithmetic" in page
    content: Any = yaml.safe_load(recipe_yaml(planned.config))
    assert [model["model"] for model in content["models"]] == ["first", "second"]
