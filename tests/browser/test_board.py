"""Leaderboards and a candidate in a real Chromium: stars, filters, new rows that wait until they are asked for, notes, and phones."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from tests.browser.test_watching import score_one
from tests.conftest import is_too_wide
from tests.webapp.runs.rows import make_run
from webapp.marks.models import Mark
from webapp.runs.models import Evaluation, Run

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}


@pytest.fixture
def run(owner: User) -> Run:
    return make_run(owner, n_generations=2, population=4, n_failed=1)


def board_of(run: Run) -> str:
    return reverse("runs:leaderboard", args=[run.pk])


def candidate_page(run: Run, pk: int | None) -> str:
    return reverse("runs:candidate", args=[run.pk, pk])


def names(page: Any) -> list[str]:
    found: list[str] = page.locator("tr[data-candidate] .lead a").all_inner_texts()
    return found


@pytest.mark.parametrize("size", [pytest.param(WIDE, marks=pytest.mark.slow), PHONE], ids=["wide", "phone"])
def test_rows_are_starred_filtered_and_compared(site: str, page: Any, run: Run, size: dict[str, int]) -> None:
    page.set_viewport_size(size)
    page.goto(site + board_of(run))
    assert not is_too_wide(page)
    name = names(page)[1]
    page.get_by_role("button", name=f"Star {name}").click()
    page.locator("tr[data-candidate] .star [aria-pressed=true]").wait_for()
    page.get_by_role("button", name=f"Compare {name}").click()
    page.locator("[data-tray]").get_by_text(name, exact=False).first.wait_for()
    page.get_by_label("Starred").check()
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_url("**starred=1**")
    assert names(page) == [name] and not is_too_wide(page)
    page.get_by_label("Name or note").fill("nobody")
    page.keyboard.press("Enter")
    page.get_by_text("No row passes these filters.").wait_for()
    assert not is_too_wide(page)
    page.get_by_role("link", name="Clear filters").first.click()
    page.locator("tr[data-candidate]").nth(3).wait_for()


def test_new_rows_wait_until_they_are_asked_for(site: str, page: Any, run: Run) -> None:
    page.goto(site + board_of(run))
    page.locator("[data-live][data-state=live]").wait_for()
    before = names(page)
    score_one(run, skill=0.95)
    pill = page.get_by_role("button", name="1 new – show")
    pill.wait_for()
    assert names(page) == before
    pill.click()
    page.wait_for_function("n => document.querySelectorAll('tr[data-candidate]').length > n", arg=len(before))
    assert set(names(page)) > set(before) and not pill.is_visible()
    page.get_by_role("button", name=f"Star {before[0]}").click()  # rows that came later have their scripts, too
    page.locator(".star [aria-pressed=true]").wait_for()


@pytest.mark.parametrize("size", [pytest.param(WIDE, marks=pytest.mark.slow), PHONE], ids=["wide", "phone"])
def test_a_candidate_is_noted_and_its_answers_are_filtered(
    site: str, page: Any, run: Run, size: dict[str, int]
) -> None:
    scored = Evaluation.objects.filter(run=run, split="search", status="done", candidate__kind="evolved")
    page.set_viewport_size(size)
    page.goto(site + candidate_page(run, scored.order_by("-fitness")[0].candidate_id))
    page.get_by_label("Your note").fill("Counts, and says so in Japanese.")
    page.get_by_label("Your tags").fill("finalist, Japanese")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Saved.").wait_for()
    assert Mark.objects.get().tags == ["finalist", "Japanese"]
    page.locator(".filters").get_by_role("link", name="only this one").click()
    page.wait_for_url("**show=only-this**")
    page.evaluate("document.querySelectorAll('details.more').forEach(more => more.open = true)")
    assert not is_too_wide(page)


def test_a_failed_candidate_and_an_empty_leaderboard_say_so(site: str, page: Any, run: Run, owner: User) -> None:
    page.set_viewport_size(PHONE)
    failed = Evaluation.objects.get(run=run, status="failed")
    page.goto(site + candidate_page(run, failed.candidate_id))
    page.get_by_text("Failed on the search split").wait_for()
    assert not is_too_wide(page)
    empty = Run.objects.create(
        owner=owner, name="new", config=run.config, config_digest="", seed=1, budget=9, state="queued"
    )
    page.goto(site + board_of(empty))
    page.get_by_text("The parents come first: the bar to beat.").wait_for()
    assert not is_too_wide(page)


@pytest.mark.parametrize("size", [pytest.param(WIDE, marks=pytest.mark.slow), PHONE], ids=["wide", "phone"])
def test_one_leaderboard_holds_the_models_of_all_runs(
    site: str, page: Any, run: Run, owner: User, size: dict[str, int]
) -> None:
    page.set_viewport_size(size)
    page.goto(site + reverse("runs:standings"))
    page.get_by_text("No run has held its final exam").wait_for()
    make_run(owner, n_generations=1, population=3, state="done", ending=True, name="the second")
    page.get_by_role("link", name="Search", exact=True).click()
    page.locator("tr[data-candidate]").first.wait_for()
    runs = set(page.locator("td[data-label=Run] a").all_inner_texts())
    assert runs == {"the second", "Japanese sums"} and not is_too_wide(page)
