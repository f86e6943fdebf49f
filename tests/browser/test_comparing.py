"""Comparing and looking at genes in a real Chromium: the tray, the keys, the charts with their tables, and a phone."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tests.conftest import is_too_wide, sign_in, watched_page
from tests.webapp.runs.rows import make_run
from webapp.runs.models import Run

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
WIDTHS = pytest.mark.parametrize("width", [pytest.param(1280, marks=pytest.mark.slow), 360])


@pytest.fixture
def run(owner: User) -> Run:
    return make_run(owner, state="done", n_generations=6, population=8, n_samples=40, ending=True)


def pair(run: Run) -> str:
    parent = run.candidates.filter(kind="parent").order_by("index")[0]
    return f"/compare/?c={parent.pk}&c={run.winner_id}"


@WIDTHS
def test_keys_walk_along_the_disagreements_over_pages(site: str, run: Run, page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{site}{pair(run)}&show=all")
    differing = page.locator("[data-differs]")
    n = differing.count()
    for _ in range(2):
        page.keyboard.press("n")
    assert page.evaluate("[...document.querySelectorAll('[data-differs]')].indexOf(document.activeElement)") == 1
    page.keyboard.press("p")
    assert page.evaluate("[...document.querySelectorAll('[data-differs]')].indexOf(document.activeElement)") == 0
    for _ in range(n):
        page.keyboard.press("n")
    page.wait_for_url("**page=2**")
    page.wait_for_function("() => document.activeElement.matches('[data-differs]')")
    assert not is_too_wide(page)


@WIDTHS
def test_two_runs_are_drawn_and_stand_in_a_table_too(site: str, run: Run, owner: User, page: Any, width: int) -> None:
    other = make_run(owner, n_generations=2, name="the other run")
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{site}/compare/?run={run.pk}&run={other.pk}")
    page.locator("#histories-plot[data-state=ready] canvas").wait_for()
    page.get_by_text("The chart as a table").click()
    assert page.locator("#histories-plot tbody tr").count() >= 4
    assert not is_too_wide(page)


@WIDTHS
def test_nothing_chosen_offers_what_is_worth_comparing(site: str, run: Run, page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{site}/compare/")
    page.get_by_role("link", name="The best and the best parent").click()
    page.get_by_role("heading", name="beside").wait_for()
    assert not is_too_wide(page)


@WIDTHS
def test_genes_are_drawn_walked_along_and_follow_the_theme(site: str, run: Run, page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{site}{reverse('analysis:genes', args=[run.pk])}")
    for figure in ("slice", "contour", "lines"):
        page.locator(f"#{figure}").scroll_into_view_if_needed()
        page.locator(f"#{figure}[data-state=ready] canvas").wait_for()
    canvas = page.locator("#slice .plot-canvas")
    canvas.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#slice [data-said]").inner_text().startswith("g0.0")
    before = canvas.screenshot()
    page.get_by_role("button", name="Change between light and dark").click()
    page.wait_for_timeout(600)
    assert canvas.screenshot() != before
    assert not is_too_wide(page)
    page.keyboard.press("Tab")
    canvas.focus()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.wait_for_url("**/candidates/**")


def test_a_chart_without_its_numbers_says_so_and_asks_again(
    live_app: str, owner_client: Client, run: Run, chromium: Any
) -> None:
    with watched_page(chromium) as (page, complaints):
        sign_in(page, live_app, owner_client)
        page.route("**/genes/scores.json?plot=bars*", lambda route: route.fulfill(status=503, body=""))
        page.goto(f"{live_app}{reverse('analysis:genes', args=[run.pk])}")
        page.get_by_text("The numbers cannot be had at the moment.").wait_for()
        page.unroute("**/genes/scores.json?plot=bars*")
        page.locator("#importance").get_by_role("button", name="Try again").click()
        page.locator("#importance:is([data-state=ready], [data-state=empty])").wait_for()
        complaints.clear()


@WIDTHS
def test_what_is_chosen_gathers_at_the_foot_of_every_page(site: str, run: Run, page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    first, second = run.candidates.filter(kind="evolved")[:2]
    tray = page.get_by_role("complementary", name="Chosen to compare")
    for candidate in (first, second):
        page.goto(f"{site}/runs/{run.pk}/candidates/{candidate.pk}/")
        button = page.get_by_role("button", name="Add to compare")
        button.click()
        assert button.get_attribute("aria-pressed") == "true"
    page.goto(f"{site}/benchmarks/")
    assert tray.get_by_role("listitem").count() == 2 and not is_too_wide(page)
    tray.get_by_role("link", name="Compare 2").click()
    page.get_by_role("heading", name=f"{first.name} beside {second.name}").wait_for()
    tray.get_by_role("button", name=f"Leave out {first.name}").click()
    assert tray.get_by_role("listitem").count() == 1
    tray.get_by_role("button", name="Clear").click()
    tray.wait_for(state="hidden")
