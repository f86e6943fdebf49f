"""Accounts in a real Chromium: an admin invites a viewer, who sees what is shared and is told why the rest is refused; at both widths."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from tests.conftest import is_too_wide, watched_page
from tests.webapp.runs.rows import make_run
from webapp.accounts.roles import role_of
from webapp.sharing.actions import share

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PHONE = {"width": 360, "height": 740}


def test_somebody_is_invited_as_a_viewer(chromium: Any, owner: User, site: str, page: Any) -> None:
    User.objects.filter(pk=owner.pk).update(is_staff=True)
    page.goto(f"{site}/accounts/")
    page.get_by_label("As", exact=True).select_option("viewer")
    page.get_by_role("button", name="Make an invitation").click()
    address = page.locator("#address").inner_text()
    with watched_page(chromium) as (guest, complaints):
        guest.set_viewport_size(PHONE)
        guest.goto(address)
        guest.get_by_label("Your name here").fill("eve")
        guest.get_by_label("Password").fill("a good password")
        guest.get_by_role("button", name="Create account").click()
        guest.get_by_text("You are a viewer on this server").wait_for()
        run = make_run(owner)
        share(run, User.objects.get(username="eve"), "editor")
        guest.goto(f"{site}/runs/{run.pk}/")
        guest.get_by_role("heading", name=run.name).wait_for()
        assert guest.get_by_role("button", name="Pause").count() == 0 and not is_too_wide(guest)
        guest.goto(f"{site}/runs/new/")
        assert "can make you a member" in guest.locator("main, body").first.inner_text()
        complaints.clear()  # a page that is refused is an error to Chromium
    page.set_viewport_size(PHONE)
    page.goto(f"{site}/accounts/")
    assert not is_too_wide(page)
    page.get_by_label("Role of eve", exact=True).select_option("member")
    page.get_by_role("button", name="Change the role of eve").click()
    page.get_by_text("eve is a member now").wait_for()
    assert role_of(User.objects.get(username="eve")) == "member"
    page.get_by_role("button", name="Switch off eve").click()
    page.get_by_role("dialog").get_by_role("button", name="Switch off").click()
    page.get_by_text("eve cannot sign in any more").wait_for()
