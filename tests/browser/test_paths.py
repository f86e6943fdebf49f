"""Pictures of paths in a real Chromium: they follow the run, say in words what they show, and fit a phone."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from tests.browser.test_watching import in_thread, watch
from tests.conftest import sign_in
from tests.webapp.runs.path_rows import make_path_generation, make_path_run, score_probes
from tests.webapp.runs.rows import Writer
from webapp.runs import events, probes
from webapp.runs.models import Run

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def run(owner: User) -> Run:
    return make_path_run(owner, n_generations=2)


@pytest.fixture
def watched(live_app: str, owner_client: Client, run: Run, page: Any) -> Any:
    """The live page, open and live."""
    return watch(page, live_app, owner_client, run)


def write(run: Run, more: Callable[[Writer], None]) -> None:
    """What a worker writes, and the hint that something happened."""
    run.refresh_from_db()
    n = run.evaluations.filter(split="search", candidate__kind="evolved").count()
    writer = Writer(run, random.Random(n), 50, timezone.now(), seq=run.next_seq - 1, number=n)
    more(writer)
    writer.flush()
    hint = {"type": "run.events", "seq": writer.seq}
    in_thread(lambda: async_to_sync(get_channel_layer().group_send)(events.group_name(run.pk), hint))


def one_more_generation(run: Run) -> None:
    write(run, lambda writer: make_path_generation(writer, run.generations.count(), 6))


def best_of(run: Run) -> Any:
    return run.evaluations.filter(split="search", candidate__kind="evolved").order_by("-fitness")[0].candidate


# the route


def test_the_route_of_a_new_best_appears_without_reload(watched: Any, run: Run) -> None:
    title = watched.locator("#route-title")
    assert title.inner_text() == f"The route through {best_of(run).name}"
    watched.get_by_text("The route as a table").click()
    one_more_generation(run)
    watched.get_by_role("heading", name=f"The route through {best_of(run).name}").wait_for()
    assert watched.locator("#route-table table").is_visible()  # what was open stays open


def test_a_new_best_leaves_the_keyboard_and_what_was_scrolled_where_they_were(watched: Any, run: Run) -> None:
    watched.set_viewport_size({"width": 360, "height": 740})
    watched.locator(".route > .scroll").focus()
    watched.evaluate("document.activeElement.scrollLeft = 30")
    one_more_generation(run)
    watched.get_by_role("heading", name=f"The route through {best_of(run).name}").wait_for()
    assert watched.evaluate("document.activeElement.matches('.route > .scroll')")
    assert watched.evaluate("document.activeElement.scrollLeft") == 30


def test_the_keyboard_walks_along_the_route_and_says_every_hop(watched: Any) -> None:
    said = watched.locator(".route [data-said]")
    watched.locator(".route > .scroll").focus()
    n = watched.locator("[data-hop]").count()
    for key, number in (
        ("ArrowRight", 1),
        ("ArrowRight", 2),
        ("End", n),
        ("ArrowRight", n),
        ("ArrowLeft", n - 1),
        ("Home", 1),
    ):
        watched.keyboard.press(key)
        assert said.inner_text().startswith(f"Hop {number} of {n}: layer "), key
    watched.keyboard.press("Escape")
    assert said.inner_text() == "" and watched.locator(".hop.current").count() == 0


def test_pointing_at_a_column_says_its_hop(watched: Any) -> None:
    hop = watched.locator("[data-hop='3']")
    hop.scroll_into_view_if_needed()
    hop.hover()
    assert watched.locator(".route [data-said]").inner_text() == hop.get_attribute("data-words")


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_a_long_route_scrolls_in_itself_on_a_phone(
    live_app: str, owner: User, owner_client: Client, page: Any, scheme: str
) -> None:
    run = make_path_run(owner, state="done", n_generations=1, n_layers=32, repeats=3, ending=True)
    page.set_viewport_size({"width": 360, "height": 740})
    page.emulate_media(color_scheme=scheme)
    sign_in(page, live_app, owner_client)
    for address in (f"/runs/{run.pk}/", f"/runs/{run.pk}/candidates/{run.winner_id}/"):
        page.goto(live_app + address)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, address
    box = page.locator(".route > .scroll")
    box.focus()
    page.keyboard.press("End")
    assert box.evaluate("box => box.scrollLeft + box.clientWidth >= box.scrollWidth - 40")
    assert page.locator("[data-hop]").count() > 50


# the map of slots


def test_a_new_generation_is_a_new_column(watched: Any, run: Run) -> None:
    watched.locator("[data-part=slots][data-key='2']").wait_for()
    one_more_generation(run)
    watched.locator("[data-part=slots][data-key='3']").wait_for()
    assert watched.locator("[data-slots]").get_attribute("data-sizes") == "6 6 6"


def test_the_map_is_asked_for_only_when_a_generation_opens(watched: Any, run: Run) -> None:
    asked: list[str] = []
    watched.on("request", lambda request: asked.extend([request.url] if "part=" in request.url else []))
    write(run, lambda writer: writer.score(best_of(run), "validation", 0.5))
    watched.wait_for_function(
        "() => performance.getEntriesByType('resource').some(({ name }) => name.includes('part=live'))"
    )
    watched.wait_for_timeout(1500)
    assert asked and not any("part=slots" in url for url in asked)


def test_the_keyboard_walks_over_the_map_and_says_every_cell(watched: Any, run: Run) -> None:
    said = watched.locator("[data-slots] [data-said]")
    watched.locator("[data-slots] > .scroll").focus()
    expected = {
        "ArrowRight": "Generation 1: 100 % of 6 candidates pass layer 0 of demo/japanese, pass 1, always passed",
        "ArrowLeft": "Generation 0: 100 % of 6 candidates pass layer 0 of demo/japanese, pass 1, always passed",
    }
    for key, words in expected.items():
        watched.keyboard.press(key)
        assert said.inner_text() == words
    watched.keyboard.press("ArrowDown")
    share = round(100 * run.generations.get(number=0).passed[1] / 6)
    assert said.inner_text() == f"Generation 0: {share} % of 6 candidates pass layer 1 of demo/japanese, pass 1"
    watched.keyboard.press("Escape")
    assert said.inner_text() == "" and not watched.locator("[data-slots] .cursor").is_visible()


def test_pointing_at_a_cell_says_the_same(watched: Any, run: Run) -> None:
    row = watched.locator("[data-slot]").nth(4)
    row.scroll_into_view_if_needed()
    box = row.bounding_box()
    watched.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + box["height"] / 2)
    share = round(100 * run.generations.get(number=1).passed[4] / 6)
    words = f"Generation 1: {share} % of 6 candidates pass {row.get_attribute('data-slot')}"
    assert watched.locator("[data-slots] [data-said]").inner_text() == words


# what each layer is worth


def parent_of(run: Run) -> Any:
    return run.candidates.filter(kind="parent").order_by("index")[0]


def answer_one(run: Run, whole: Any) -> None:
    """A worker scores the next probe that waits."""
    waiting = run.evaluations.filter(split="probe", status="pending", candidate__probe_of=whole).order_by("id")[0]
    probe = waiting.candidate
    waiting.delete()
    write(run, lambda writer: writer.score(probe, "probe", 0.0))


@pytest.mark.parametrize("state", ["running", pytest.param("done", marks=pytest.mark.slow)])
def test_bars_grow_as_answers_come_also_after_the_end(
    live_app: str, owner: User, owner_client: Client, page: Any, state: str
) -> None:
    run = make_path_run(owner, state=state, n_generations=2, ending=state == "done")
    whole = parent_of(run)
    sign_in(page, live_app, owner_client)
    page.goto(f"{live_app}/runs/{run.pk}/")
    page.get_by_role("button", name="Measure 4 layers").first.click()
    page.get_by_text("Asked for demo/japanese without one of its layers, 4 times.").wait_for()
    page.locator("[data-live][data-state=live]").wait_for()
    section = page.locator(f".worth:has(#worth-{whole.pk})")
    assert section.locator(".waiting").count() == 4 and section.get_by_role("button").count() == 0
    for n in range(1, 5):
        answer_one(run, whole)
        page.wait_for_function("n => document.querySelectorAll('.worth-bar').length === n", arg=n)
    page.locator("[data-part=worth][data-unfinished='0']").wait_for()
    if state == "done":  # nothing more will happen
        page.locator("[data-live][data-state=off]").wait_for(state="attached")


def test_the_keyboard_walks_along_the_bars(watched: Any, run: Run, owner_client: Client) -> None:
    whole = parent_of(run)
    probes.ask_each(whole)
    answer_one(run, whole)
    section = watched.locator(f".worth:has(#worth-{whole.pk})")
    section.locator(".scroll:has(svg)").focus()
    watched.keyboard.press("ArrowRight")
    assert section.locator("[data-said]").inner_text().startswith("layer 0: 0.0 % without it, worth ")
    watched.keyboard.press("End")
    assert section.locator("[data-said]").inner_text() == "layer 3: on its way"


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_bars_fit_a_phone(live_app: str, owner: User, owner_client: Client, page: Any, scheme: str) -> None:
    run = make_path_run(owner, n_generations=1, n_layers=32, repeats=3)
    for whole in (parent_of(run), best_of(run)):
        probes.ask_each(whole)
        score_probes(run, whole, [0.1] * 9)
    page.set_viewport_size({"width": 360, "height": 740})
    page.emulate_media(color_scheme=scheme)
    sign_in(page, live_app, owner_client)
    page.goto(f"{live_app}/runs/{run.pk}/")
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


# two routes


def test_two_routes_are_chosen_and_walked_apart(live_app: str, run: Run, owner_client: Client, page: Any) -> None:
    sign_in(page, live_app, owner_client)
    first, other = best_of(run), run.candidates.filter(kind="evolved").order_by("pk")[0]
    page.goto(f"{live_app}/runs/{run.pk}/candidates/{first.pk}/")
    page.get_by_label(f"Compare {first.name} with").select_option(str(other.pk))
    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_role("heading", name=f"{first.name} beside {other.name}").wait_for()
    routes = page.locator(".route")
    routes.nth(1).locator("> .scroll").focus()
    page.keyboard.press("ArrowRight")
    assert routes.nth(1).locator("[data-said]").inner_text().startswith("Hop 1 of ")
    assert routes.nth(0).locator("[data-said]").inner_text() == ""
    x = [routes.nth(i).locator("[data-hop='1'] .mark").bounding_box()["x"] for i in (0, 1)]
    assert abs(x[0] - x[1]) < 0.5  # every path begins with A's first layer: one above the other


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_two_long_routes_fit_a_phone(live_app: str, owner: User, owner_client: Client, page: Any, scheme: str) -> None:
    run = make_path_run(owner, n_generations=1, n_layers=32, repeats=3)
    page.set_viewport_size({"width": 360, "height": 740})
    page.emulate_media(color_scheme=scheme)
    sign_in(page, live_app, owner_client)
    page.goto(f"{live_app}/runs/{run.pk}/candidates/{best_of(run).pk}/compare/")
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    boxes = page.locator(".route > .scroll")
    boxes.nth(0).evaluate("box => { box.scrollLeft = 300; }")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.route > .scroll')].every((box) => box.scrollLeft === 300)"
    )
