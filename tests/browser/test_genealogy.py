"""Who came of whom, in a real Chromium: the picture leads from run to run, says the same as a list, and scrolls in itself on a phone."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from tests.conftest import is_too_wide
from tests.webapp.lineage.test_genealogy import bred, of
from webapp.runs.models import Run

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def runs(owner: User) -> list[Run]:
    """The second breeds from a candidate of the first."""
    oldest = of(owner, "oldest")
    return [oldest, of(owner, "youngest", bred(oldest.candidates.get(name="g0.1"), "child"))]


@pytest.mark.parametrize("width", [pytest.param(1280, marks=pytest.mark.slow), 360])
def test_the_keyboard_follows_the_line_from_run_to_run(site: str, page: Any, runs: list[Run], width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{site}/runs/{runs[1].pk}/")
    page.get_by_role("link", name="Who came of whom").click()
    page.get_by_role("heading", name="Who came of whom").wait_for()
    assert page.locator(".genealogy .subject").text_content().count("youngest") >= 1
    assert page.locator(".genealogy .through").text_content() == "g0.1"
    page.locator(".genealogy a", has_text="oldest").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/runs/{runs[0].pk}/")
    page.goto(site + reverse("lineage:genealogy", args=[runs[0].pk]))
    page.get_by_text("The picture as a list").click()
    page.locator("#as-list").get_by_role("link", name="youngest").click()
    page.wait_for_url(f"**/runs/{runs[1].pk}/")


def test_a_run_without_relatives_says_how_a_line_begins_and_fits_a_phone(site: str, page: Any, owner: User) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(site + reverse("lineage:genealogy", args=[of(owner, "alone").pk]))
    page.get_by_text("No other run came before or after this one.").wait_for()
    assert not is_too_wide(page)
