"""The fixtures that other tests stand on: the site as it is served, and a browser that notices what it should."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings

from tests.conftest import foreign, watched_page
from webapp.system.processes import Child


@pytest.mark.browser
@pytest.mark.parametrize(
    ("provoke", "complaint"),
    [
        ("console.error('broken')", "console: broken"),
        ("setTimeout(() => { throw new Error('broken') })", "page error: broken"),
        ("location.href = 'http://elsewhere.invalid/'", "request to another host: http://elsewhere.invalid/"),
        ("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">')", "Content Security Policy"),
    ],
)
def test_the_browser_complains(live_app: str, chromium: Any, provoke: str, complaint: str) -> None:
    with watched_page(chromium) as (page, complaints):
        page.goto(live_app + "/sign-in/")
        assert complaints == []
        page.evaluate(f"() => {{ {provoke} }}")
        page.wait_for_timeout(200)
        assert any(complaint in complained for complained in complaints), complaints
        complaints.clear()


@pytest.mark.browser
def test_static_files_may_be_cached_for_ever(live_app: str, page: Any) -> None:
    answer = page.request.get(f"{live_app}{settings.STATIC_URL}js/base.js")
    assert answer.status == 200
    assert "immutable" in answer.headers["cache-control"]
    assert "javascript" in answer.headers["content-type"]


@pytest.mark.parametrize(
    ("url", "is_foreign"),
    [
        ("http://127.0.0.1:80/a", False),
        ("ws://localhost/", False),
        ("data:,", False),
        ("https://cdn.example.org/a.js", True),
    ],
)
def test_only_this_machine_is_not_foreign(url: str, is_foreign: bool) -> None:
    assert bool(foreign(url)) == is_foreign


@pytest.mark.slow
def test_a_worker_reports_to_the_test_database(worker_process: Child) -> None:
    from webapp.system.models import Worker

    assert Worker.objects.filter(stopped=None).count() == 1
