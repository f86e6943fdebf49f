"""A run over a path chosen by hand, with and without scripts, and a candidate that becomes a parent, in a real Chromium."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.browser.steps import to_step
from tests.conftest import sign_in, wait_for
from tests.webapp.runs.choices import Library, library
from tests.webapp.runs.rows import make_run
from webapp.exports.models import Export
from webapp.lineage.models import Adoption, Sequel
from webapp.runs.config import RunConfig
from webapp.runs.models import Run

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
NEW = "/runs/new/"


@pytest.fixture
def chosen(owner: User, tmp_path: Path) -> Library:
    return library(owner, tmp_path)


def evolve(page: Any, what: str) -> None:
    page.get_by_role("group", name="What evolves").get_by_role("radio", name=re.compile(f"^{what}")).check()


def models(page: Any) -> list[str]:
    return [page.locator(f"[name={name}] option:checked").inner_text() for name in ("model_a", "model_b")]


def choose_path(page: Any, go_to: Callable[[Any, str], None] = to_step) -> None:
    """From step to step: from goal to search."""
    evolve(page, "The layer path")
    go_to(page, "parents")
    page.get_by_label("Model A", exact=True).select_option("first")
    page.get_by_label("Model B", exact=True).select_option("second")
    go_to(page, "benchmarks")
    page.locator("[name=benchmarks]").check()
    go_to(page, "search")


def test_only_fields_of_what_evolves_are_shown(site: str, page: Any, chosen: Library) -> None:
    page.goto(site + NEW)
    fields = {
        "numbers": page.get_by_role("radio", name="DARE-TIES"),
        "a": page.get_by_label("Model A", exact=True),
        "b": page.get_by_label("Model B", exact=True),
        "path": page.get_by_label("Paths to score"),
    }
    expected = {"The numbers": {"numbers"}, "The layer path": {"a", "b", "path"}, "Both": {"numbers", "b", "path"}}
    for what, shown in expected.items():
        to_step(page, "goal")
        evolve(page, what)
        to_step(page, "parents")
        found = {name for name, field in fields.items() if field.is_visible()}
        to_step(page, "search")
        assert found | {name for name, field in fields.items() if field.is_visible()} == shown
        assert page.get_by_label("Seed", exact=True).is_visible()


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_and_b_swap_by_one_press_and_the_summary_follows(site: str, page: Any, chosen: Library, by: str) -> None:
    page.goto(site + NEW)
    choose_path(page)
    to_step(page, "parents")
    summary, swap = page.locator("#summary"), page.get_by_role("button", name="Swap A and B")
    summary.get_by_text("layers of first, which begin and end it, and 2 of second").wait_for()
    if by == "mouse":
        swap.click()
    else:
        page.get_by_label("Model B", exact=True).focus()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
    assert models(page) == ["second", "first"]
    summary.get_by_text("layers of second, which begin and end it, and 2 of first").wait_for()


def test_enter_in_a_field_swaps_nothing(site: str, page: Any, chosen: Library) -> None:
    page.goto(site + NEW)
    choose_path(page)
    page.get_by_label("Paths to score").fill("9")
    page.get_by_label("Paths to score").press("Enter")
    page.wait_for_url("**#review")
    page.get_by_role("button", name="Launch").click()
    page.wait_for_url("**/runs/*-*/")
    config = RunConfig.from_json(Run.objects.get().config)
    assert [parent.name for parent in config.parents] == ["first", "second"] and config.budget == 9


def test_all_of_it_works_without_a_script_on_a_phone(
    live_app: str, owner_client: Client, chromium: Any, chosen: Library
) -> None:
    context = chromium.new_context(java_script_enabled=False, viewport={"width": 360, "height": 740})
    try:
        page = context.new_page()
        sign_in(page, live_app, owner_client)
        page.goto(live_app + NEW)
        choose_path(page, go_to=lambda page, step: None)
        page.get_by_role("button", name="Swap A and B").click()
        assert models(page) == ["second", "first"]
        page.get_by_label("Paths to score").fill("9")
        page.get_by_role("button", name="Launch", exact=True).click()
        page.wait_for_url("**/runs/*-*/")
    finally:
        context.close()
    config = RunConfig.from_json(Run.objects.get().config)
    assert config.path and [parent.name for parent in config.parents] == ["second", "first"]


def test_a_candidate_used_as_a_parent_opens_a_new_run_when_it_is_there(
    site: str, page: Any, owner: User, chosen: Library
) -> None:
    run = make_run(owner, state="done", ending=True, n_generations=1)
    page.goto(f"{site}/runs/{run.pk}/")
    page.get_by_role("link", name=f"Use {run.winner.name} as parent").click()
    page.get_by_role("button", name="Use as parent").click()
    page.get_by_role("heading", name="Waiting for a worker").wait_for()
    Export.objects.update(status="leased", lease_token=1, lease_until=run.created, stage="write", progress=0.5)
    page.get_by_role("heading", name="Writing files").wait_for()
    Adoption.objects.update(parent=chosen.second)
    page.wait_for_url(f"**{NEW}?parent={chosen.second.pk}")
    assert page.locator(f"[name=parents][value='{chosen.second.pk}']").is_checked() and models(page)[0] == "second"


def test_a_run_page_shows_by_itself_when_the_second_run_is_there(site: str, page: Any, owner: User) -> None:
    first, second = (make_run(owner, state="done", ending=True, n_generations=1, name=name) for name in ("One", "Two"))
    sequel = Sequel.objects.create(first=first, name="Two", config=first.config)
    page.goto(f"{site}/runs/{first.pk}/")
    page.get_by_text("The second run follows as soon as its model A is built").wait_for()
    adoption = Adoption.objects.create(candidate=first.winner)
    Sequel.objects.filter(pk=sequel.pk).update(run=second, adoption=adoption)
    page.get_by_role("link", name="Two").click()
    page.get_by_text(f"Follows One, of which {first.winner.name} is model A here.").wait_for()
    wait_for(lambda: page.url.endswith(f"/runs/{second.pk}/"), "the second run's page is open")
