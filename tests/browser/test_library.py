"""Models and benchmarks in a real Chromium: find, compare, try, deal; at a desk and on a phone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from merging.benchmarks import QuestionFile
from tests.conftest import is_too_wide
from tests.ledger.scores import tried
from tests.webapp.library.folders import model_folder, question_file
from webapp.library.actions import add_benchmark, register_parent
from webapp.library.models import Benchmark, Parent
from webapp.trials.models import Trial

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}


@pytest.fixture
def models(owner: User, tmp_path: Path) -> list[Parent]:
    """Two that fit and a deeper one that fits neither."""
    folders = [model_folder(tmp_path / name, fill=i) for i, name in enumerate(("one", "two"))]
    return [register_parent(owner, folder) for folder in (*folders, model_folder(tmp_path / "deep", n_layers=3))]


@pytest.fixture
def benchmark(owner: User, tmp_path: Path) -> Benchmark:
    return add_benchmark(owner, question_file(tmp_path / "sums.jsonl"))


def is_too_wide_unfolded(page: Any) -> bool:
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    return is_too_wide(page)


def end_trials(**changes: Any) -> None:
    """As a worker leaves them."""
    Trial.objects.update(status="leased", lease_token=1, lease_until=timezone.now(), stage="evaluate")
    Trial.objects.update(lease_until=None, **changes)


@pytest.mark.parametrize("size", [pytest.param(DESK, marks=pytest.mark.slow), PHONE], ids=["desk", "phone"])
def test_ticked_models_are_compared_each_with_each(site: str, page: Any, models: list[Parent], size: Any) -> None:
    page.set_viewport_size(size)
    page.goto(f"{site}/models/")
    for model in (models[0], models[2]):
        page.get_by_role("checkbox", name=f"Compare {model.name}").check()
    page.get_by_role("button", name="Check fit").click()
    cell = page.get_by_role("link", name=re.compile("^ERROR 1 ?: one with deep do not fit"))
    cell.first.wait_for()
    assert cell.count() == 1, "the matrix at a desk, the list on a phone"
    cell.click()
    page.get_by_role("heading", name="one first, with deep: do not fit").wait_for()
    assert f"pair={models[0].pk}-{models[2].pk}" in page.url and not is_too_wide_unfolded(page)
    page.get_by_label("Find").fill("two")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_url("**q=two**")
    page.get_by_role("checkbox", name="Compare two").wait_for()
    assert page.get_by_role("checkbox").count() == 1 + page.get_by_label("For everybody").count()
    assert f"model={models[0].pk}" in page.url, "what was ticked stays"


@pytest.mark.parametrize("size", [pytest.param(DESK, marks=pytest.mark.slow), PHONE], ids=["desk", "phone"])
def test_a_model_is_looked_at_and_tried(
    site: str, page: Any, models: list[Parent], benchmark: Benchmark, size: Any
) -> None:
    page.set_viewport_size(size)
    page.goto(f"{site}/models/")
    page.get_by_role("link", name="one", exact=True).click()
    page.get_by_role("heading", name="With which models it can be merged").scroll_into_view_if_needed()
    page.get_by_role("link", name="do not fit").wait_for()
    page.get_by_role("button", name="Ask three questions").click()
    page.get_by_text("waits for a worker").wait_for()
    end_trials(status="done", result=[tried("sums", 3)], seconds=1.0)
    page.get_by_text("33 % of 3").wait_for()
    assert page.get_by_label("Completion 1").inner_text() == "It is 2." and not is_too_wide_unfolded(page)


@pytest.mark.parametrize("size", [pytest.param(DESK, marks=pytest.mark.slow), PHONE], ids=["desk", "phone"])
def test_a_benchmark_is_tried_dealt_and_says_that_nothing_can_be_read(
    site: str, page: Any, models: list[Parent], benchmark: Benchmark, size: Any
) -> None:
    page.set_viewport_size(size)
    page.goto(f"{site}/benchmarks/{benchmark.pk}/")
    page.get_by_text("Deal the 40 questions anew").click()
    page.get_by_label("Validation", exact=True).fill("6")
    page.get_by_role("button", name="Deal anew").click()
    page.get_by_text("are dealt anew").wait_for()
    assert Benchmark.objects.get().n_validation == 6
    page.locator("#try [name=model]").select_option(label="two")
    page.get_by_role("button", name="Ask three questions").click()
    page.get_by_text("waits for a worker").wait_for()
    end_trials(status="done", result=[tried("sums", 3, "Cats.", None)], seconds=1.0)
    page.get_by_text("No answer could be read from any of these").wait_for()
    assert not is_too_wide_unfolded(page)
    page.reload()
    page.get_by_role("link", name="your last trial").click()
    page.get_by_text("No answer could be read from any of these").wait_for()


@pytest.mark.parametrize("size", [pytest.param(DESK, marks=pytest.mark.slow), PHONE], ids=["desk", "phone"])
def test_prompts_in_a_model_s_own_template(site: str, page: Any, owner: User, tmp_path: Path, size: Any) -> None:
    folder = model_folder(tmp_path / "chatty")
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<begin>"}))
    (folder / "chat_template.jinja").write_text("{{ bos_token }}{{ messages[0].content }}")
    register_parent(owner, folder)
    file = question_file(tmp_path / "sums.jsonl").path
    row = add_benchmark(owner, QuestionFile(file, "last_number", seed=0, as_chat=True))
    page.set_viewport_size(size)
    page.goto(f"{site}/benchmarks/{row.pk}/")
    page.get_by_role("button", name="Show", exact=True).click()
    page.get_by_role("heading", name="As chatty reads it").wait_for()
    assert page.get_by_label("Prompt 1").inner_text().startswith("<begin>") and not is_too_wide_unfolded(page)


@pytest.mark.parametrize("size", [pytest.param(DESK, marks=pytest.mark.slow), PHONE], ids=["desk", "phone"])
def test_an_empty_library_says_what_to_do_and_a_failed_trial_why(
    site: str, page: Any, owner: User, tmp_path: Path, size: Any
) -> None:
    page.set_viewport_size(size)
    too_wide = []
    for path, words in (
        ("models", "No models yet"),
        ("benchmarks", "No benchmark yet"),
        ("trials", "You have tried nothing yet"),
    ):
        page.goto(f"{site}/{path}/")
        page.get_by_text(words).wait_for()
        too_wide += [path] if is_too_wide_unfolded(page) else []
    add_benchmark(owner, question_file(tmp_path / "sums.jsonl"))
    register_parent(owner, model_folder(tmp_path / "model"))
    page.goto(f"{site}/trials/")
    page.get_by_role("button", name="Ask three questions").click()
    page.get_by_role("heading", name="Trial", exact=True).wait_for()
    end_trials(status="failed", failure_kind="parent", failure="model has no config.json.")
    page.get_by_role("alert").get_by_text("model has no config.json.").wait_for()
    assert too_wide == [] and not is_too_wide_unfolded(page)
