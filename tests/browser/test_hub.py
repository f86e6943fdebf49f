"""From the Hub into the models in a real Chromium: search, a gate with the way through it, a fetch that is cut, paused and gone on with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from merging.demo import PACK
from tests.browser.test_screens import AXE, VIOLATIONS
from tests.conftest import database_url, is_too_wide, wait_for
from tests.hub.repos import Repo
from tests.hub.server import FakeHub, Fault
from tests.webapp.hub.test_downloads import fetched
from webapp.hub.models import Download, Similarity
from webapp.library.actions import install_demo_pack
from workers.aside import COMPARE, DOWNLOAD, Aside

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
CARD = "---\nlicense: apache-2.0\nbase_model: org/base\n---\n# A model\n"
PHONE = {"width": 360, "height": 740}


@pytest.fixture
def japanese(fake_hub: FakeHub) -> Repo:
    fake_hub.shelf.add_folder("org/japanese", PACK / "japanese", downloads=1234, likes=56)
    return fake_hub.shelf.add("org/japanese", {"README.md": CARD, "pytorch_model.bin": b"\x80\x02"})


@pytest.fixture
def working(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[], bool], str], None]]:
    """Until a condition holds, a worker looks after what is done aside, on the test's database."""
    monkeypatch.setenv("DATABASE_URL", database_url())
    aside = [Aside("worker", errand) for errand in (DOWNLOAD, COMPARE)]

    def until(condition: Callable[[], bool], claim: str) -> None:
        def look() -> bool:
            for one in aside:
                one.look()
            return condition()

        wait_for(look, claim, seconds=60)

    yield until
    for one in aside:
        one.close()


def test_a_model_comes_from_the_hub_into_the_models(
    site: str, page: Any, fake_hub: FakeHub, japanese: Repo, working: Callable[[Callable[[], bool], str], None]
) -> None:
    install_demo_pack()
    japanese.gated = "manual"
    page.goto(f"{site}/models/")
    page.get_by_role("link", name="Find on the Hub").click()
    page.get_by_role("searchbox", name="Find").fill("japanese")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("table").get_by_role("link", name="org/japanese").click()
    ask = page.get_by_role("link", name="Ask for access on its page on the Hub")
    ask.wait_for()
    assert ask.get_attribute("href") == f"{fake_hub.url}/org/japanese"
    assert page.get_by_role("button", name="Fetch 1.6 MB").count() == 0

    japanese.granted.add("owner")
    page.reload()
    page.get_by_text("you have access").wait_for()
    page.get_by_text("fit, with care").or_(page.get_by_text("fit", exact=True)).first.wait_for()
    fake_hub.faults.append(Fault("GET /storage/", cut=700_000))
    fake_hub.faults.append(Fault("GET /storage/", status=503, times=99))
    page.get_by_role("button", name="Fetch 1.6 MB").click()
    page.get_by_text("waits for a worker").wait_for()
    working(lambda: Download.objects.get().n_done > 600_000, "some of it has come")
    page.get_by_text("Tries again in").wait_for()
    page.get_by_role("button", name="Pause org/japanese").click()
    page.get_by_text("What has come stays on the disk.").wait_for()
    working(lambda: True, "the process is told")

    fake_hub.faults.clear()
    fake_hub.calls.clear()
    page.get_by_role("button", name="Go on with org/japanese").click()
    working(lambda: Download.objects.get().status == "done", "it is here")
    page.get_by_role("link", name="org/japanese", exact=True).last.wait_for()
    asked = [asked for line, asked, _ in fake_hub.calls if "/storage/" in line]
    assert len(asked) == 1 and asked[0] != "bytes=0-"
    page.goto(f"{site}/models/")
    page.get_by_role("table").get_by_role("link", name="org/japanese").click()
    page.get_by_text(japanese.refs["main"], exact=True).wait_for()
    page.get_by_text("made from org/base, says the Hub").wait_for()


def test_what_two_models_learned_is_a_heat_map(
    site: str, page: Any, working: Callable[[Callable[[], bool], str], None]
) -> None:
    install_demo_pack()
    page.goto(f"{site}/models/similarity/")
    page.get_by_label("One model").select_option(label="demo/addition")
    page.get_by_label("Another").select_option(label="demo/subtraction")
    page.get_by_label("Their base model").select_option(label="demo/base")
    page.get_by_role("button", name="Compare them").click()
    page.get_by_text("waits for a worker").wait_for()
    working(lambda: Similarity.objects.get().status == "done", "they are compared")
    page.get_by_text("Cosine of all layers").wait_for()
    page.locator("#angles[data-state=ready] canvas").first.wait_for()
    page.locator("#signs summary").click()
    page.locator("#signs table").get_by_text("self_attn.q_proj").wait_for()


def barred(page: Any) -> list[str]:
    """What keeps somebody out, as axe-core sees it."""
    found: list[str] = page.evaluate(VIOLATIONS)
    return found


@pytest.mark.parametrize(
    "size", [pytest.param({"width": 1280, "height": 800}, marks=pytest.mark.slow), PHONE], ids=["desk", "phone"]
)
def test_pages_of_the_hub_fit_their_window_in_every_state(
    site: str, page: Any, fake_hub: FakeHub, japanese: Repo, size: Any, settings: Any
) -> None:
    page.set_viewport_size(size)
    page.add_init_script(path=AXE)
    page.goto(f"{site}/hub/?q=japanese")
    page.get_by_role("table").get_by_role("link", name="org/japanese").wait_for()
    assert not is_too_wide(page) and barred(page) == []
    fake_hub.faults.append(Fault("/api/models", status=500))
    page.goto(f"{site}/hub/?q=other")
    page.get_by_role("button", name="Try again").click()
    page.get_by_text("No such model").wait_for()
    page.goto(f"{site}/hub/models/org/japanese/")
    page.get_by_text("exactly").wait_for()
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert not is_too_wide(page) and barred(page) == []
    settings.OFFLINE = True
    page.reload()
    page.get_by_role("heading", name="Offline").wait_for()
    page.goto(f"{site}/hub/downloads/")
    assert not is_too_wide(page) and page.get_by_text("Nothing is being fetched").is_visible()
    page.goto(f"{site}/models/similarity/")
    assert not is_too_wide(page) and barred(page) == []


def test_the_files_of_a_model_go_after_a_look_at_what_that_means(
    site: str, page: Any, owner: User, japanese: Repo, settings: Any, tmp_path: Path
) -> None:
    settings.DATA_DIR, settings.HUB_CACHE = tmp_path, tmp_path / "hub" / "cache"
    model = fetched(owner).parent
    assert model is not None
    page.goto(f"{site}/system/?tab=storage")
    page.get_by_role("link", name="Remove its files: org/japanese").click()
    page.set_viewport_size(PHONE)
    assert not is_too_wide(page)
    page.get_by_role("button", name="Remove 1.6 MB").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    page.get_by_text("1.6 MB free again").wait_for()
    assert page.get_by_role("button", name="Fetch it again").is_visible() and not is_too_wide(page)
    assert not Path(model.folder).exists()
