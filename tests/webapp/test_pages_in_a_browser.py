"""The pages in a real Chromium: no console error (the fixture sees to it), nothing wider than a phone, and what scripts promise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from tests.browser.steps import to_step
from tests.webapp.library.folders import question_file
from tests.webapp.runs.choices import Library, library
from webapp.library.actions import add_benchmark
from webapp.library.models import Benchmark, Parent
from webapp.runs.models import Run

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PAGES = ("/", "/runs/new/", "/models/", "/benchmarks/", "/system/")


@pytest.fixture
def site(site: str, owner: User) -> str:
    """Its owner looks after the server, too."""
    User.objects.filter(pk=owner.pk).update(is_staff=True)
    return site


@pytest.fixture
def chosen(owner: User, tmp_path: Path) -> Library:
    return library(owner, tmp_path)


def make(owner: User, state: str = "running") -> Run:
    return Run.objects.create(
        owner=owner, name="a run", state=state, config={"parents": [], "base": None}, config_digest="", seed=1, budget=9
    )


def choose(page: Any, *names: str) -> None:
    """New run: check the choices with these titles, each in its step."""
    for name in names:
        choice = page.locator("label.choice", has=page.get_by_text(name, exact=True))
        to_step(page, choice.evaluate("one => one.closest('[data-step]').dataset.step"))
        choice.locator("input").check()


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_no_page_is_wider_than_a_phone(site: str, page: Any, owner: User, chosen: Library, scheme: str) -> None:
    make(owner)
    page.set_viewport_size({"width": 360, "height": 740})
    page.emulate_media(color_scheme=scheme)
    too_wide = {}
    ticked = "&".join(f"model={model.pk}" for model in Parent.objects.all())
    for path in (*PAGES, f"/benchmarks/{chosen.benchmark.pk}/", f"/models/?{ticked}"):
        page.goto(site + path)
        page.wait_for_load_state("networkidle")
        page.evaluate("document.querySelectorAll('details.more').forEach(more => more.open = true)")
        too_wide[path] = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert {path: pixels for path, pixels in too_wide.items() if pixels > 0} == {}


def test_the_first_user_signs_up_and_meets_the_demo(live_app: str, page: Any) -> None:
    from webapp.accounts.setup import setup_path

    page.goto(live_app + (setup_path() or ""))
    page.get_by_label("Your name here").fill("ada")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Create account and start").click()
    page.get_by_role("link", name="Run the quick demo").wait_for()


def test_the_theme_is_kept(site: str, page: Any) -> None:
    page.emulate_media(color_scheme="light")
    page.goto(site)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Change between light and dark").click()
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != ground


def test_what_cannot_be_undone_is_asked_first(site: str, page: Any, owner: User) -> None:
    run = make(owner, "done")
    page.goto(site)
    for answer, is_deleted in (("Cancel", False), ("Delete run", True)):
        page.get_by_label("More for a run").click()
        page.get_by_role("button", name="Delete", exact=True).click()
        page.get_by_role("dialog").get_by_role("button", name=answer).click()
        if is_deleted:
            page.get_by_text("a run is deleted.").wait_for()
        else:
            page.keyboard.press("Escape")
        assert (Run.objects.get(pk=run.pk).deleted_at is not None) == is_deleted


def test_the_summary_follows_what_is_chosen(site: str, page: Any, chosen: Library) -> None:
    page.goto(f"{site}/runs/new/")
    summary = page.locator("#summary")
    summary.get_by_text("no benchmark is chosen").wait_for()
    choose(page, "first", "second", "sums", "Linear")
    summary.get_by_text("Mix 2 models with Linear in one group of layers: 2 numbers to find").wait_for()
    page.get_by_label("Candidates to score").fill("12")
    summary.get_by_text("up to 12 candidates").wait_for()


def test_weights_are_asked_for_only_with_several_benchmarks(
    site: str, page: Any, owner: User, chosen: Library, tmp_path: Path
) -> None:
    more = add_benchmark(owner, question_file(tmp_path / "more.jsonl"))
    Benchmark.objects.filter(pk=more.pk).update(is_public_test=True)
    page.goto(f"{site}/runs/new/")
    weight, override = (
        page.get_by_label("Weight of sums"),
        page.get_by_label("Search on a public test set all the same"),
    )
    choose(page, "first", "second", "Linear", "sums")
    assert page.get_by_role("group", name="sums").get_by_label("Search questions").is_visible()
    assert not weight.is_visible() and not override.is_visible()
    page.locator("label.choice", has=page.get_by_text("more", exact=False)).locator(
        "input[name=benchmarks]"
    ).last.check()
    weight.fill("3")
    page.locator("#summary").get_by_text("are a public test set").wait_for()
    override.check()
    page.locator("#summary").get_by_text("scored on 75% sums and 25% more").wait_for()


def test_a_base_model_is_asked_for_only_where_it_is_used(site: str, page: Any, chosen: Library) -> None:
    page.goto(f"{site}/runs/new/")
    base = page.get_by_label("Base model", exact=True)
    choose(page, "Linear")
    assert base.is_disabled()
    for name in ("Task arithmetic", "NuSLERP"):
        page.get_by_role("radio", name=name).check()
        assert base.is_enabled()


def test_only_fields_of_the_chosen_division_are_shown(site: str, page: Any, chosen: Library) -> None:
    page.goto(f"{site}/runs/new/#search")
    page.get_by_text("Parts of layers, way of searching").click()
    for option, field in (("A gradient", "How many"), ("By name", "Parts of names")):
        assert not page.get_by_label(field).is_visible()
        page.get_by_role("radio", name=option).check()
        assert page.get_by_label(field).is_visible()
    page.get_by_label("How many").fill("2")
    page.get_by_label("Parts of names").fill("mlp")
    choose(page, "first", "second", "sums", "SLERP")
    page.locator("#summary").get_by_text(
        "gradient over depth with 2 knots, mlp apart from the rest: 4 numbers"
    ).wait_for()


def test_a_live_list_refreshes_itself_but_not_under_an_open_menu(site: str, page: Any, owner: User) -> None:
    run = make(owner)
    page.goto(site)
    page.get_by_label("More for a run").click()
    Run.objects.filter(pk=run.pk).update(name="renamed")
    page.wait_for_timeout(3500)
    assert page.get_by_text("Stop and keep best").is_visible()
    page.keyboard.press("Escape")
    page.get_by_role("link", name="renamed").wait_for()
