"""Every screen in a real Chromium, in both themes, wide and on a phone: nobody is kept out (axe-core finds nothing serious), nothing is
wider than the window, no console error, no foreign request (the fixture sees to these two).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from tests.browser.screens import House, make_house
from tests.conftest import sign_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
SIZES = {"wide": (1280, 800), "phone": (360, 740)}
VIOLATIONS = """() => axe.run(document, {resultTypes: ["violations"]}).then(({violations}) => violations
    .filter(({impact}) => impact === "serious" || impact === "critical")
    .map(({id, nodes}) => `${id}: ${nodes.slice(0, 3).map(({target}) => target.join(" ")).join("; ")}`))"""


@pytest.fixture
def house(owner: User, tmp_path: Path) -> House:
    return make_house(owner, tmp_path)


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("size", "scheme"),
    [
        ("phone", "dark"),
        pytest.param("wide", "light", marks=pytest.mark.slow),
        pytest.param("wide", "dark", marks=pytest.mark.slow),
        pytest.param("phone", "light", marks=pytest.mark.slow),
    ],
)
def test_every_screen_is_for_everybody(
    live_app: str, page: Any, owner_client: Client, house: House, size: str, scheme: str
) -> None:
    width, height = SIZES[size]
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.add_init_script(path=AXE)
    found = {"sign-in": complaints(page, live_app + settings.LOGIN_REDIRECT_URL)}
    sign_in(page, live_app, owner_client)
    found |= {name: complaints(page, live_app + address) for name, address in house.screens().items()}
    assert not any(found.values()), "\n".join(f"{name}: {said}" for name, of in found.items() for said in of)


def complaints(page: Any, address: str) -> list[str]:
    """What axe-core finds, and by how much the page is wider than its window; everything is opened that can be."""
    page.goto(address, wait_until="networkidle")
    page.evaluate("document.querySelectorAll('main details').forEach(one => { one.open = true; })")
    too_wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return [*page.evaluate(VIOLATIONS), *([f"{too_wide} px too wide"] if too_wide > 0 else [])]
