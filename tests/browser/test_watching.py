"""The live page in a real Chromium, fed by rows instead of workers: nothing is lost, nothing moves under the pointer, nothing runs."""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone

from merging.recipes import Recipe
from tests.conftest import database_url, free_port, sign_in, watched_page
from tests.webapp.runs.rows import Writer, make_candidate, make_run
from webapp.env import BASE_DIR
from webapp.runs import events
from webapp.runs.models import Run
from webapp.system.processes import Child, Command, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def run(owner: User) -> Run:
    return make_run(owner, n_generations=2, population=4)


@pytest.fixture
def watched(live_app: str, owner_client: Client, run: Run, page: Any) -> Any:
    """The live page, open and live."""
    return watch(page, live_app, owner_client, run)


def watch(page: Any, site: str, client: Client, run: Run) -> Any:
    sign_in(page, site, client)
    page.goto(f"{site}/runs/{run.pk}/")
    page.locator("[data-live][data-state=live]").wait_for()
    return page


def score_one(run: Run, skill: float = 0.5, announce: bool = True) -> int:
    """One more candidate is scored, as a worker would write it. Returns how many there are now."""
    run.refresh_from_db()
    n = run.evaluations.filter(split="search", candidate__kind="evolved").count()
    writer = Writer(run, random.Random(n), 50, timezone.now(), seq=run.next_seq - 1, number=n)
    generation = run.generations.last()
    recipe = Recipe.from_json(run.candidates.filter(kind="evolved").first().recipe)  # type: ignore[union-attr]
    index = 100 + n
    name = f"g{generation.number if generation else 0}.{index}"
    writer.score(make_candidate(run, generation, "evolved", index, name, recipe, [0.5]), "search", skill)
    writer.flush()
    if announce:
        hint = {"type": "run.events", "seq": writer.seq}
        in_thread(lambda: async_to_sync(get_channel_layer().group_send)(events.group_name(run.pk), hint))
    return n + 1


def in_thread(call: Callable[[], Any]) -> None:
    """Playwright keeps a loop in this thread; asgiref will not start another beside it."""
    import threading

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def wait_for_dots(page: Any, n: int) -> None:
    page.wait_for_function(
        "n => document.querySelector('.chart-plot').getAttribute('aria-label').startsWith(`Scores of ${n} candidates`)",
        arg=n,
    )  # fmt: skip


def test_a_new_score_appears_without_reload(watched: Any, run: Run) -> None:
    wait_for_dots(watched, 8)
    wait_for_dots(watched, score_one(run))
    watched.locator("[data-part=figures][data-scored='9']").wait_for()


def test_rows_say_by_how_many_places_they_have_moved(watched: Any, run: Run) -> None:
    first = watched.locator("tr[data-candidate]").first.get_attribute("data-candidate")
    score_one(run, skill=0.99)
    moved = watched.locator(f"tr[data-candidate='{first}'] .moved")
    moved.wait_for()
    assert moved.get_attribute("title") == "down 1 place" and watched.locator(".moved[data-way=up]").count() == 0


@pytest.mark.slow
def test_a_page_that_was_silent_for_seven_seconds_still_hears(watched: Any, run: Run) -> None:
    watched.wait_for_timeout(7_500)
    wait_for_dots(watched, score_one(run))
    assert watched.locator("[data-live]").get_attribute("data-state") == "live"


def test_nothing_moves_under_the_pointer(watched: Any, run: Run) -> None:
    rows = watched.locator("tr[data-candidate]")
    rows.nth(2).hover()
    before = rows.all_inner_texts()
    score_one(run, skill=0.99)
    pill = watched.get_by_role("button", name="1 new – show")
    pill.wait_for()
    assert rows.all_inner_texts() == before
    pill.click()
    watched.wait_for_function("n => document.querySelectorAll('tr[data-candidate]').length === n", arg=len(before) + 1)


def test_held_rows_appear_when_the_pointer_leaves(watched: Any, run: Run) -> None:
    rows = watched.locator("tr[data-candidate]")
    rows.nth(2).hover()
    n = rows.count()
    score_one(run, skill=0.99)
    watched.get_by_role("button", name="1 new – show").wait_for()
    watched.mouse.move(5, 5)
    watched.wait_for_function("n => document.querySelectorAll('tr[data-candidate]').length === n", arg=n + 1)


def test_a_new_state_changes_the_buttons(watched: Any, run: Run) -> None:
    watched.get_by_role("button", name="Pause").click()
    watched.get_by_role("button", name="Resume").wait_for()
    assert Run.objects.get(pk=run.pk).state == "paused"


def test_stopping_asks_and_can_be_declined(watched: Any, run: Run) -> None:
    watched.get_by_role("button", name="Stop and keep best").click()
    watched.get_by_role("button", name="Cancel").click()
    assert Run.objects.get(pk=run.pk).state == "running"


def test_coming_back_says_what_was_missed(watched: Any, run: Run) -> None:
    wait_for_dots(watched, 8)
    address = watched.url
    watched.goto("about:blank")
    score_one(run)
    score_one(run)
    watched.goto(address)
    watched.get_by_text("Still running: you missed 2 results.").wait_for()


def test_without_sockets_the_page_polls_and_says_so(live_app: str, owner_client: Client, run: Run, page: Any) -> None:
    page.route_web_socket("**/ws/**", lambda route: route.close())
    sign_in(page, live_app, owner_client)
    page.goto(f"{live_app}/runs/{run.pk}/")
    page.get_by_text("Polling every 3 s").wait_for()
    wait_for_dots(page, 8)
    wait_for_dots(page, score_one(run, announce=False))


def test_signing_out_elsewhere_ends_the_feed(watched: Any, owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    from webapp.runs.live import consumers

    monkeypatch.setattr(consumers, "TICK_SECONDS", 0.2)
    watched.reload()
    owner.set_password("another password")
    owner.save()
    watched.get_by_text("Signed out").wait_for()


# the chart


def test_the_keyboard_walks_to_the_best_and_opens_it(watched: Any, run: Run) -> None:
    wait_for_dots(watched, 8)
    watched.locator("[data-chart]").focus()
    watched.keyboard.press("ArrowUp")
    best = run.evaluations.filter(candidate__kind="evolved").order_by("-fitness")[0].candidate
    assert watched.locator("[data-tip] strong").inner_text() == best.name
    watched.keyboard.press("Enter")
    watched.wait_for_url(f"**/candidates/{best.pk}/")


def test_a_click_on_a_dot_opens_the_candidate(watched: Any) -> None:
    watched.set_viewport_size({"width": 1280, "height": 1600})
    wait_for_dots(watched, 8)
    row = watched.locator("tr[data-kind=evolved]").first
    candidate = row.get_attribute("data-candidate")
    row.hover()
    ring = watched.locator(".chart-ring").bounding_box()
    watched.mouse.click(ring["x"] + ring["width"] / 2, ring["y"] + ring["height"] / 2)
    watched.wait_for_url(f"**/candidates/{candidate}/")


def test_the_table_holds_what_the_chart_shows(watched: Any, run: Run) -> None:
    wait_for_dots(watched, 8)
    watched.get_by_text("The chart as a table").click()
    rows = watched.locator("[data-chart-table] tbody tr")
    rows.nth(1).wait_for()  # it is drawn when it has opened
    assert [row.split()[:2] for row in rows.all_inner_texts()] == [["0", "4"], ["1", "4"]]


def test_what_happened_while_the_page_was_on_its_way_is_shown(
    live_app: str, owner_client: Client, run: Run, page: Any
) -> None:
    """The page is rendered, then something happens, then the script connects: no event tells of it."""

    def late(route: Any) -> None:
        score_one(run, announce=False)
        connection.close()  # Playwright calls this in a context of its own, which has its own connection
        route.continue_()

    scored = run.evaluations.filter(split="search", candidate__kind="evolved").count()
    page.route("**/js/live.js", late)
    watch(page, live_app, owner_client, run)
    page.locator(f"[data-part=figures][data-scored='{scored + 1}']").wait_for()


def test_a_snapshot_and_the_events_that_it_holds_already_count_once(watched: Any) -> None:
    """A snapshot is read after its number: events may tell again what it shows."""
    found = watched.evaluate(
        """async () => {
          const address = document.querySelector('script[src*="js/live.js"]').src.replace('live.js', 'history.js');
          const { History } = await import(address);
          const history = new History();
          const empty = { id: [], number: [], generation: [], index: [], mean: [], low: [], high: [] };
          const held_out = { id: [], mean: [] };
          const score = (number) => ({ candidate: 7, kind: 'evolved', split: 'search', number, generation: 0, index: 0, mean: 0.5,
                                       low: 0.4, high: 0.6, n: 9, fitness: 0.5, is_healthy: false });
          history.apply({ type: 'snapshot', seq: 4, state: 'running', budget: 9, n_scored: 2, best: [], best_fitness: 0.7,
                          best_is_healthy: true, dots: empty, doubted: [], held_out, generations: [], references: [] });
          const event = (seq, number) => ({ seq, kind: 'evaluation.done', payload: score(number) });
          history.apply({ type: 'events', seq: 5, events: [event(5, 2)] });
          const told = history.dots.length;
          history.apply({ type: 'events', seq: 6, events: [event(5, 2), event(6, 3)] });
          const gap = history.apply({ type: 'events', seq: 9, events: [event(9, 5)] });
          return { told, after: history.dots.length, gap, seq: history.seq, doubted: history.dots[0].isDoubted };
        }"""
    )
    assert found == {"told": 0, "after": 1, "gap": None, "seq": 6, "doubted": True}


# the server goes away


class Server:
    """uvicorn in a process of its own, always on the same port."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        words = (
            sys.executable,
            "-m",
            "uvicorn",
            "webapp.asgi:application",
            "--port",
            str(self.port),
            "--lifespan",
            "off",
        )
        self._command = Command("web", words, {"DATABASE_URL": database_url()}, BASE_DIR, stop_seconds=0.1)
        self._log = folder / "web.log"
        self._child: Child | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._child = Child(self._command, self._log)
        wait_until(self._answers, self._child, 60, lambda: False)

    def kill(self) -> None:
        """At once: after a tenth of a second, SIGKILL."""
        if self._child:
            self._child.stop()

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


@pytest.fixture
def server(transactional_db: None, tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    made.start()
    yield made
    made.kill()


def test_a_server_that_was_killed_costs_no_result(
    server: Server, owner_client: Client, run: Run, chromium: Any
) -> None:
    with watched_page(chromium) as (page, complaints):
        watch(page, server.address, owner_client, run)
        wait_for_dots(page, 8)
        server.kill()
        page.get_by_text("Reconnecting").wait_for()
        score_one(run, announce=False)
        n = score_one(run, announce=False)
        page.get_by_text("Polling every 3 s").wait_for()
        server.start()
        wait_for_dots(page, n)
        page.locator("[data-live][data-state=live]").wait_for()
        complaints[:] = [
            line for line in complaints if "ERR_CONNECTION_REFUSED" not in line
        ]  # what the kill must cause


# whatever names say

PAYLOADS = (
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "</script><svg onload=alert(1)>",
    "javascript:alert(1)",
)


@pytest.mark.slow
def test_names_and_completions_never_run(watched: Any, run: Run) -> None:
    dialogs: list[Any] = []
    watched.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    for payload in PAYLOADS:
        Run.objects.filter(pk=run.pk).update(name=payload, message=payload)
        run.candidates.filter(kind="parent").update(name=payload)
        watched.reload()
        wait_for_dots(watched, 8)
        hint = {"candidate": 1, "name": payload, "split": payload, "stage": payload, "done": 1, "total": 2}
        layer = get_channel_layer()
        in_thread(lambda: async_to_sync(layer.group_send)(events.group_name(run.pk), {"type": "run.progress", **hint}))  # noqa: B023
        watched.locator("[data-now]", has_text=payload).wait_for()
        watched.locator("tr[data-kind=evolved]").first.hover()
        watched.goto(watched.url + f"candidates/{run.candidates.filter(kind='parent')[0].pk}/")
        watched.get_by_role("heading", name=payload).first.wait_for()
        watched.go_back()
    assert dialogs == []


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_no_page_is_wider_than_a_phone(
    live_app: str, owner: User, owner_client: Client, page: Any, scheme: str
) -> None:
    run = make_run(owner, state="done", n_generations=2, population=6, ending=True)
    page.set_viewport_size({"width": 360, "height": 740})
    page.emulate_media(color_scheme=scheme)
    sign_in(page, live_app, owner_client)
    for path in (f"/runs/{run.pk}/", f"/runs/{run.pk}/candidates/{run.winner_id}/", f"/runs/{run.pk}/?rows=all"):
        page.goto(live_app + path)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
