"""The live page in a real Chromium, wide and on a phone: how the chart is looked at, whether it improves, what lies below; an empty run
and one that failed.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.browser.test_watching import score_one, wait_for_dots, watch
from tests.conftest import is_too_wide, sign_in
from tests.webapp.runs.pictures.test_pictures import second_scores
from tests.webapp.runs.rows import make_run
from webapp.runs.models import Attempt, Evaluation, Run

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SIZES = [pytest.param((1280, 800), marks=pytest.mark.slow), (360, 740)]


def attempted(run: Run) -> None:
    """Two workers took turns at what was scored."""
    for token, evaluation in enumerate(run.evaluations.filter(finished__isnull=False), 1):
        end = evaluation.finished
        assert end is not None
        Attempt.objects.create(
            token=token, evaluation=evaluation, worker=f"worker-{token % 2}", code_version="1", outcome="accepted",
            started=end - timedelta(seconds=1), ended=end,
        )  # fmt: skip


def several_benchmarks(run: Run) -> None:
    """The run has a second benchmark, on which all score next to nothing."""
    second_scores(run)
    config = run.config
    config["objectives"] = [*config["objectives"], config["objectives"][0]]
    Run.objects.filter(pk=run.pk).update(config=config)


@pytest.mark.parametrize("size", SIZES)
def test_the_live_page_is_looked_at_from_all_sides(
    live_app: str, owner: User, owner_client: Client, page: Any, size: tuple[int, int]
) -> None:
    run = make_run(owner, n_generations=7, population=4, n_failed=1)
    attempted(run)
    several_benchmarks(run)
    page.set_viewport_size({"width": size[0], "height": size[1]})
    watch(page, live_app, owner_client, run)
    page.locator(".verdict strong").wait_for()
    assert page.locator(".spark svg").count() == 3

    page.get_by_role("button", name="Device time").click()
    page.locator("[data-chart][data-axis=spent]").wait_for()
    second = page.locator("[data-by='1']")
    second.click()
    page.wait_for_function("() => document.querySelector('.chart-plot').ariaLabel.includes('alone')")
    assert "x=device" in page.url and "by=1" in page.url
    page.reload()
    page.locator("[data-chart][data-axis=spent]").wait_for()
    assert second.get_attribute("aria-pressed") == "true"
    assert not is_too_wide(page)


@pytest.mark.parametrize("size", SIZES)
def test_below_is_in_detail_who_did_what_how_genes_move_and_what_happened(
    live_app: str, owner: User, owner_client: Client, page: Any, size: tuple[int, int]
) -> None:
    run = make_run(owner, n_generations=3, population=4, n_failed=1)
    attempted(run)
    page.set_viewport_size({"width": size[0], "height": size[1]})
    watch(page, live_app, owner_client, run)
    look_at(page, "Workers", "timeline")
    look_at(page, "Genes", "genes")
    assert "view=genes" in page.url
    page.go_back()
    page.locator("#timeline").wait_for()
    page.locator("a[data-view]", has_text="Events").click()
    page.get_by_text("g1.0 failed on the search questions: not finite.").wait_for()
    page.get_by_role("link", name="With every score").click()
    wait_for_dots(page, n := score_one(run))
    page.get_by_text(f"g2.{100 + n - 1} scored ").wait_for()
    assert not is_too_wide(page)


def look_at(page: Any, view: str, picture: str) -> None:
    """One of the views below, until its picture is drawn: that waits until it is nearly in sight."""
    page.locator("a[data-view]", has_text=view).click()
    page.locator(f"#{picture}").scroll_into_view_if_needed()
    page.locator(f"#{picture}[data-state=ready] canvas").first.wait_for()


@pytest.mark.parametrize("size", SIZES)
def test_a_run_that_waits_says_what_it_waits_for(
    live_app: str, owner: User, owner_client: Client, page: Any, size: tuple[int, int]
) -> None:
    run = make_run(owner, state="queued", n_generations=0)
    run.evaluations.all().delete()
    page.set_viewport_size({"width": size[0], "height": size[1]})
    watch(page, live_app, owner_client, run)
    page.get_by_text("Waiting for a worker to start.").wait_for()
    page.get_by_text("Not known yet.").wait_for()
    page.goto(f"{live_app}/runs/{run.pk}/?view=genes")
    page.locator("#genes").scroll_into_view_if_needed()
    page.get_by_text("The first generation is on its way").wait_for()
    assert not is_too_wide(page)


@pytest.mark.parametrize("size", SIZES)
def test_a_run_that_failed_shows_cause_and_next_step(
    live_app: str, owner: User, owner_client: Client, page: Any, size: tuple[int, int]
) -> None:
    run = make_run(owner, state="failed", n_generations=1, population=4)
    Run.objects.filter(pk=run.pk).update(message="Every candidate of generation 1 failed. Choose a narrower range.")
    Evaluation.objects.bulk_create(
        Evaluation(
            run=run, candidate=candidate, split="full", status="failed", failure_kind="out_of_memory",
            failure="It asked for 9 GiB at once.",
        )
        for candidate in run.candidates.filter(kind="evolved")[:2]
    )  # fmt: skip
    page.set_viewport_size({"width": size[0], "height": size[1]})
    watch_ended(page, live_app, owner_client, run)
    page.get_by_text("Every candidate of generation 1 failed.").first.wait_for()
    page.get_by_text("2 failed: out of memory.").click()
    page.get_by_text("It asked for 9 GiB at once.").first.wait_for()
    assert page.get_by_role("link", name="New run like this").count() >= 2
    page.get_by_text("Nothing is computed any more.").wait_for()
    assert not is_too_wide(page)
    page.goto(live_app)
    page.get_by_text("with what is said there mended").wait_for()
    assert not is_too_wide(page)


def watch_ended(page: Any, site: str, client: Client, run: Run) -> None:
    """An ended run has no live dot to wait for."""
    sign_in(page, site, client)
    page.goto(f"{site}/runs/{run.pk}/")
    wait_for_dots(page, 4)
