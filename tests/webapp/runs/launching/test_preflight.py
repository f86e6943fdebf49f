"""Before a launch: everything that stands in the way at once, each with where it was chosen; then how good the choices are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.http import QueryDict
from django.test import Client
from django.utils import timezone

from tests.webapp.runs.choices import Library, draft, form, library, path_form
from webapp.library.actions import hide
from webapp.library.models import Benchmark
from webapp.runs import actions
from webapp.runs.launching import preflight
from webapp.runs.launching.drafts import plan
from webapp.runs.launching.forms.run_form import RunForm
from webapp.runs.launching.outlook import Outlook, outlook
from webapp.system.checks import DiskUsage
from webapp.system.models import Worker

SUMMARY = "/runs/new/summary/"


@pytest.fixture
def chosen(owner: User, tmp_path: Path) -> Library:
    return library(owner, tmp_path)


def look(owner: User, sent: dict[str, Any]) -> Outlook:
    read = RunForm(owner, sent_as_post(sent))
    read.is_valid()
    return outlook(read)


def sent_as_post(sent: dict[str, Any]) -> Any:
    post = QueryDict(mutable=True)
    for name, value in sent.items():
        post.setlist(name, [str(one) for one in (value if isinstance(value, list) else [value])])
    return post


def where(found: Outlook) -> set[str]:
    return {remark.field for remark in found.blockers}


def test_blockers_of_every_step_are_found_at_once(chosen: Library, owner: User) -> None:
    wrong = {
        "name": "x" * 201,
        "base": "",
        "benchmarks": [],
        "groups": "some",
        "n_groups": "9",
        "budget": "0",
        "seed": "x",
        "task_arithmetic-lambda": "much",
    }
    found = look(owner, form(chosen, **wrong))
    expected = {"name", "base", "benchmarks", "groups", "budget", "seed", "task_arithmetic-lambda"}
    assert where(found) == expected and not found.runs
    assert {step.name: step.n_problems for step in found.steps} == {
        "goal": 1,
        "parents": 1,
        "benchmarks": 1,
        "search": 4,
        "review": 0,
    }


def test_a_model_that_was_hidden_meanwhile_hides_no_other_blocker(chosen: Library, owner: User) -> None:
    hide(chosen.first)
    found = look(owner, form(chosen, budget="0", n_search="99"))
    assert where(found) == {"parents", "budget", f"n_search-{chosen.benchmark.pk}"}
    (gone,) = [remark.found for remark in found.blockers if remark.field == "parents"]
    assert "is not one of the available choices" in gone


def test_no_place_for_a_run_is_a_blocker_among_others(chosen: Library, owner: User, settings: Any) -> None:
    settings.QUOTAS = type(django_settings.QUOTAS)(**{**vars(django_settings.QUOTAS), "n_runs": 1})
    assert not look(owner, form(chosen)).blockers
    assert [remark.field for remark in look(owner, form(chosen, random_search="on")).blockers] == [""]
    actions.launch(owner, plan(draft(chosen)).config, "first")
    found = look(owner, form(chosen, budget="0"))
    assert where(found) == {"budget", ""} and "1 run at a time" in found.blockers[-1].found
    assert [step.name for step in found.steps if step.state == "wrong"] == ["search", "review"]


def test_with_nothing_in_the_way_all_steps_are_complete_and_the_review_is_next(chosen: Library, owner: User) -> None:
    assert [step.state for step in look(owner, form(chosen)).steps] == ["done", "done", "done", "done", "next"]


def test_every_blocker_links_to_its_field(chosen: Library, owner_client: Client) -> None:
    page = owner_client.post(SUMMARY, form(chosen, budget="0", parents=[])).content.decode()
    listed = page.split('class="blockers"')[1].split("</ul>")[0]
    assert '<a href="#field-budget">Candidates to score</a>' in listed and '<a href="#field-parents">' in listed
    form_page = owner_client.get("/runs/new/").content.decode()
    assert 'id="field-budget"' in form_page and 'id="field-parents"' in form_page


def test_thin_searches_few_questions_and_missing_workers_are_warnings(chosen: Library, owner: User) -> None:
    found = look(owner, form(chosen, groups="block", n_search="16"))
    assert not found.blockers
    warned = {remark.field: remark.found for remark in found.health if remark.level == "warning"}
    assert warned["budget"] == "6.7 candidates for every number to find are few."
    assert warned["benchmarks"] == "16 search questions of sums tell a score to within 24 points."
    assert "No worker is ready" in warned[""]


def test_a_path_is_warned_of_at_its_own_budget(chosen: Library, owner: User) -> None:
    found = look(owner, path_form(chosen, path_budget="30"))
    assert "path_budget" in {remark.field for remark in found.health}


def test_what_is_well_is_said_last(chosen: Library, owner: User) -> None:
    now = timezone.now()
    Worker.objects.create(name="w", device="CPU, 2 cores", code_version="1", started=now, seen=now, ready=True)
    levels = [remark.level for remark in look(owner, form(chosen)).health]
    assert levels == sorted(levels, key=("error", "warning", "good").index) and levels.count("good") == 2


def test_a_full_disk_is_a_warning(chosen: Library, owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "disk_usage", lambda: DiskUsage(10**12, 10**6))
    assert any("1.0 MB are free on disk" in remark.found for remark in look(owner, form(chosen)).health)


def test_a_public_test_set_blocks_until_it_is_allowed_and_warns_then(chosen: Library, owner: User) -> None:
    Benchmark.objects.update(is_public_test=True)
    assert where(look(owner, form(chosen))) == {"benchmarks"}
    allowed = look(owner, form(chosen, override="on"))
    assert not allowed.blockers and "override" in {remark.field for remark in allowed.health}
