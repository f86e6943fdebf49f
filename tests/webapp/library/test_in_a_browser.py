"""Adding questions in a real Chromium: check, look, add, with the keyboard alone; nothing wider than a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from tests.webapp.library.folders import question_file
from webapp.library.actions import add_benchmark
from webapp.library.models import Benchmark

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_questions_are_checked_shown_and_added_with_the_keyboard(site: str, page: Any, tmp_path: Path) -> None:
    page.goto(f"{site}/benchmarks/new/")
    page.get_by_label("Questions", exact=True).set_input_files(question_file(tmp_path / "mine.jsonl").path)
    page.get_by_role("button", name="Check the file").press("Enter")
    page.get_by_text("40 questions can be used").wait_for()
    assert not Benchmark.objects.exists()
    page.get_by_role("button", name="Add these questions").press("Enter")
    page.get_by_text("mine can be chosen now").wait_for()
    assert page.get_by_label("Prompt 1").inner_text().endswith("+ 1 = ?\n")


def test_all_that_has_to_be_mended_is_named_and_the_file_stays_chosen(site: str, page: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"question": "1?", "answer": "one"}\nno\n')
    page.goto(f"{site}/benchmarks/new/")
    page.get_by_label("Questions", exact=True).set_input_files(file)
    page.get_by_role("button", name="Check the file").click()
    problems = page.get_by_role("alert").get_by_role("listitem")
    problems.nth(1).wait_for()
    assert ["line 1 of" in problems.nth(0).inner_text(), "line 2 of" in problems.nth(1).inner_text()] == [True, True]
    assert page.get_by_label("Questions", exact=True).evaluate("input => input.files.length") == 1


def test_no_page_of_benchmarks_is_wider_than_a_phone(site: str, page: Any, owner: User, tmp_path: Path) -> None:
    row = add_benchmark(owner, question_file(tmp_path / "sums.jsonl"), is_public_test=True)
    page.set_viewport_size({"width": 360, "height": 740})
    too_wide = {}
    for path in ("/benchmarks/", "/benchmarks/new/", "/benchmarks/tasks/", f"/benchmarks/{row.pk}/"):
        page.goto(site + path)
        page.evaluate("document.querySelectorAll('details.more').forEach(more => more.open = true)")
        too_wide[path] = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert {path: pixels for path, pixels in too_wide.items() if pixels > 0} == {}
