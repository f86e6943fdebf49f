"""The frame of every page: keys, pills, local times; and the main acts of System and Exports, wide and on a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now

from tests.browser.screens import make_exports
from tests.webapp.runs.rows import make_run
from webapp.exports.models import Export
from webapp.runs.models import Run
from webapp.system.models import Worker

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PHONE = {"width": 360, "height": 740}


@pytest.fixture
def site(site: str, owner: User) -> str:
    """Its owner looks after the server, too."""
    User.objects.filter(pk=owner.pk).update(is_staff=True)
    return site


@pytest.fixture
def run(owner: User, settings: Any, tmp_path: Path) -> Run:
    found = make_run(owner, state="done", n_generations=1, population=4, ending=True)
    settings.DATA_DIR = tmp_path
    return found


def test_keys_go_where_they_say_but_not_while_somebody_types(site: str, page: Any, run: Run) -> None:
    make_exports(run, [f"g0.{i}" for i in range(4)])
    page.goto(f"{site}/")
    for key, path in (("e", "/exports/"), ("s", "/system/"), ("m", "/models/"), ("r", "/")):
        page.keyboard.press("g")
        page.keyboard.press(key)
        page.wait_for_url(site + path)
    page.get_by_role("searchbox").first.focus()
    page.keyboard.type("g s ?")
    assert page.url == f"{site}/" and not page.locator("#keys").is_visible()
    page.goto(f"{site}/exports/")
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keyboard").get_by_role("button", name="Close").click()
    for key, row in (("j", 0), ("j", 1), ("k", 0)):
        page.keyboard.press(key)
        assert page.evaluate("[...document.querySelectorAll('[data-row]')].indexOf(document.activeElement)") == row
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site}/runs/{run.pk}/candidates/*/#download")


def test_single_keys_can_be_switched_off(site: str, page: Any) -> None:
    page.goto(f"{site}/system/")
    page.keyboard.press("?")
    page.get_by_label("Listen to single keys").uncheck()
    page.get_by_role("button", name="Close").click()
    page.reload()
    page.keyboard.press("?")
    assert not page.locator("#keys").is_visible()


def test_times_are_local_with_utc_as_their_title(site: str, page: Any, run: Run) -> None:
    page.goto(f"{site}/")
    time = page.locator("time").first
    assert time.get_attribute("title") == f"{run.created:%Y-%m-%d %H:%M:%S} UTC"


@pytest.mark.parametrize("width", [pytest.param(1280, marks=pytest.mark.slow), 360])
def test_a_page_that_waits_for_a_worker_turns_green_by_itself(site: str, page: Any, width: int) -> None:
    page.set_viewport_size({**PHONE, "width": width})
    page.goto(f"{site}/")
    page.get_by_role("link", name="Workers: no worker").click()
    page.get_by_text("Waiting for a worker to join").wait_for()
    assert "./progeny invite" in page.locator("#join").inner_text()
    Worker.objects.create(
        name="cpu0@here", device="CPU, 2 cores", code_version="1", started=Now(), seen=Now(), ready=True
    )
    page.locator("[data-tone=good]", has_text="ready").wait_for()
    page.get_by_role("button", name="Drain").click()
    page.get_by_role("button", name="Drain it").click()
    page.locator(".chip", has_text="drained").wait_for()
    page.get_by_role("button", name="Take work again").click()
    page.locator("[data-tone=good]", has_text="ready").wait_for()


@pytest.mark.parametrize("width", [pytest.param(1280, marks=pytest.mark.slow), 360])
def test_an_export_is_followed_until_it_is_there_and_then_removed(site: str, page: Any, run: Run, width: int) -> None:
    page.set_viewport_size({**PHONE, "width": width})
    page.goto(f"{site}/exports/")
    page.get_by_role("heading", name="No exports yet").wait_for()
    make_exports(run, [f"g0.{i}" for i in range(4)])
    page.reload()
    row = page.locator("[data-row]", has_text="g0.3")
    row.get_by_text("Merging").wait_for()
    page.get_by_text("2.0 GB are missing. Make room and build it again.").wait_for()
    Export.objects.filter(candidate__name="g0.3").update(status="done", lease_until=None, n_bytes=5, finished=Now())
    row.get_by_role("link", name="Zip").wait_for()
    page.get_by_role("button", name="Remove g0.0").click()
    page.get_by_role("button", name="Remove download").click()
    page.get_by_text("The download is removed").wait_for()
    assert not Export.objects.filter(candidate__name="g0.0").exists()
