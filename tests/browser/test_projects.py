"""Projects in a real Chromium: begun, given a member and a run, seen by the member, and gone from their open page; wide and on a phone."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.conftest import is_too_wide, sign_in, watched_page
from tests.webapp.runs.rows import make_run

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PHONE = {"width": 360, "height": 740}


def test_a_team_sees_a_run_through_a_project(
    chromium: Any, owner: User, site: str, page: Any, member_client: Client
) -> None:
    run = make_run(owner)
    page.goto(f"{site}/")
    page.get_by_role("link", name="Projects").click()
    page.get_by_label("Name").fill("Reasoning in Japanese")
    page.get_by_role("button", name="Begin it").click()
    page.get_by_label("Name of an account here").fill("member")
    page.get_by_role("button", name="Make a member").click()
    page.get_by_text("member is a member of Reasoning in Japanese").wait_for()
    page.goto(f"{site}/runs/{run.pk}/")
    page.locator("#project").get_by_label("Project").select_option("Reasoning in Japanese")
    page.get_by_role("button", name="Move it").click()
    page.get_by_text(f"{run.name} is in Reasoning in Japanese").wait_for()
    with watched_page(chromium) as (guest, complaints):
        sign_in(guest, site, member_client)
        guest.set_viewport_size(PHONE)
        guest.goto(f"{site}/projects/")
        guest.get_by_role("link", name="Reasoning in Japanese").click()
        assert not is_too_wide(guest)
        guest.get_by_role("link", name=run.name, exact=True).click()
        guest.get_by_text("through the project").wait_for()
        assert not is_too_wide(guest)
        guest.locator("[data-live][data-state=live]").wait_for()
        page.set_viewport_size(PHONE)
        page.goto(f"{site}/projects/")
        page.get_by_role("link", name="Reasoning in Japanese").click()
        page.get_by_role("button", name="Remove member").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        page.get_by_text("member is no member of").wait_for()
        guest.reload()
        assert "through the project" not in guest.content()
        complaints.clear()  # the page is not there any more, which is an error to Chromium
    assert not is_too_wide(page)
    page.goto(f"{site}/")
    page.locator("summary", has_text="Any project").click()
    page.get_by_role("link", name="Reasoning in Japanese").click()
    page.get_by_role("link", name=run.name, exact=True).wait_for()
    assert not is_too_wide(page)
