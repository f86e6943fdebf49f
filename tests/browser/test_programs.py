"""Tokens and the page that describes what programs may ask, in a real Chromium: nothing from elsewhere, nothing that the policy forbids."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import is_too_wide

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_token_is_made_and_tried_on_the_page_that_describes_them(site: str, page: Any) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"{site}/account/")
    page.get_by_role("link", name="Your tokens").click()
    page.get_by_label("What it is for").fill("laptop")
    page.get_by_role("button", name="Make it").click()
    word = page.locator("#word").inner_text()
    assert not is_too_wide(page)
    page.goto(f"{site}/api/docs/")
    page.locator("button.authorize.unlocked").first.click()
    page.locator(".auth-container input").fill(word)
    page.locator(".auth-btn-wrapper button.authorize").click()
    page.locator(".auth-btn-wrapper button.btn-done").click()
    page.locator("#operations-server-get_me").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    answer = page.locator(".live-responses-table")
    answer.locator(".response .highlight-code").first.wait_for()
    assert '"token": "laptop"' in answer.inner_text()
