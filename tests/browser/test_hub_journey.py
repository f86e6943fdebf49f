"""The whole way in a real Chromium with a real worker: from a search on the Hub over a gate, a fetch that is cut, a run and its winner to
a model that is pushed, fetched elsewhere by the Hub's own client and loaded in a fresh process.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from django.contrib.auth.models import User

from merging.demo import PACK
from tests.browser.steps import to_step
from tests.canary import CANARY
from tests.conftest import hired_worker
from tests.hub import writing
from tests.hub.server import FakeHub, Fault
from webapp.accounts.hub import keep_token
from webapp.exports.models import Push
from webapp.library.actions import install_demo_pack
from webapp.library.models import Benchmark, Parent
from webapp.runs.models import Run

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,  # a minute and a half: a worker starts, fetches, evolves, builds, loads and pushes
    pytest.mark.timeout(900),
    pytest.mark.django_db(transaction=True),
]
CARD: Final = "---\nlicense: apache-2.0\n---\n# A model\n"
BUDGET: Final = 12
QUESTIONS: Final = 12
MINUTE: Final = 60_000  # milliseconds
LOADED: Final = """
import json, sys
from huggingface_hub import snapshot_download
from transformers import AutoModelForCausalLM, AutoTokenizer
folder = snapshot_download(sys.argv[1], cache_dir=sys.argv[2], token=sys.argv[3])
model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
tokens = tokenizer("12 + 34 = ", return_tensors="pt", return_token_type_ids=False)
answer = model.generate(**tokens, max_new_tokens=8, do_sample=False, pad_token_id=tokenizer.eos_token_id)
print(json.dumps({"folder": folder, "answer": tokenizer.decode(answer[0, tokens["input_ids"].shape[1]:])}))
"""


@pytest.fixture
def hub(fake_hub: FakeHub) -> FakeHub:
    """Three models of the demo pack, one of them behind a gate."""
    fake_hub.routes = fake_hub.routes + writing.routes
    for name in ("base", "addition", "japanese"):
        fake_hub.shelf.add_folder(f"org/{name}", PACK / name, downloads=1234)
        fake_hub.shelf.add(f"org/{name}", {"README.md": CARD})
    fake_hub.shelf.repos["org/japanese"].gated = "manual"
    return fake_hub


def test_from_a_search_on_the_hub_to_a_model_that_others_load(
    site: str, page: Any, owner: User, hub: FakeHub, tmp_path: Path
) -> None:
    install_demo_pack()
    keep_token(owner, CANARY)
    with hired_worker(tmp_path):
        for name in ("base", "addition"):
            find(page, site, name)
            fetch(page, name)
        find(page, site, "japanese")
        pass_the_gate(page, hub)
        fetch_in_two_parts(page, hub)
        evolve(page, site, owner)
        decide_build_and_push(page)
    assert Push.objects.get().commit == hub.shelf.repos["owner/journey"].refs["main"]
    found = load_elsewhere(tmp_path)
    assert found["answer"].strip()
    assert (
        subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=found["folder"], check=False).returncode
        == 0
    )


def find(page: Any, site: str, name: str) -> None:
    page.goto(f"{site}/models/")
    page.get_by_role("link", name="Find on the Hub").click()
    page.get_by_role("searchbox", name="Find").fill(name)
    page.get_by_role("button", name="Search").click()
    page.get_by_role("table").get_by_role("link", name=f"org/{name}").click()
    page.get_by_role("heading", name=f"org/{name}").wait_for()


def fetch(page: Any, name: str) -> None:
    page.get_by_role("button", name=re.compile("Fetch 1.[0-9] MB")).click()
    page.get_by_role("link", name=f"org/{name}", exact=True).last.wait_for(timeout=MINUTE)
    page.get_by_text(f"org/{name} can be chosen now").wait_for()


def pass_the_gate(page: Any, hub: FakeHub) -> None:
    """The refusal names the page on which access is asked for; once it is given, the page offers the fetch."""
    ask = page.get_by_role("link", name="Ask for access on its page on the Hub")
    assert ask.get_attribute("href") == f"{hub.url}/org/japanese"
    assert page.get_by_role("button", name=re.compile("^Fetch")).count() == 0
    hub.shelf.repos["org/japanese"].granted.add("owner")
    page.reload()
    page.get_by_text("you have access").wait_for()
    page.get_by_text(re.compile("^fit")).first.wait_for()  # which reads the beginning of the files


def fetch_in_two_parts(page: Any, hub: FakeHub) -> None:
    """Cut in the middle, refused for a while, paused; what has come is not fetched again."""
    hub.faults += [Fault("GET /storage/", cut=700_000), Fault("GET /storage/", status=503, times=99)]
    page.get_by_role("button", name=re.compile("Fetch 1.[0-9] MB")).click()
    page.get_by_text("Tries again in").wait_for(timeout=MINUTE)
    page.get_by_role("button", name="Pause org/japanese").click()
    page.get_by_text("What has come stays on the disk.").wait_for()
    hub.faults.clear()
    hub.calls.clear()
    page.get_by_role("button", name="Go on with org/japanese").click()
    page.get_by_role("link", name="org/japanese", exact=True).last.wait_for(timeout=MINUTE)
    asked = [ranges for line, ranges, _ in hub.calls if "/storage/" in line]
    assert asked and "bytes=0-" not in asked


def evolve(page: Any, site: str, owner: User) -> None:
    """A small run of what was fetched, to its end."""
    fetched = {parent.name: str(parent.pk) for parent in Parent.objects.filter(owner=owner)}
    page.goto(f"{site}/runs/new/")
    page.locator(".steps [data-state=done]").first.wait_for()
    to_step(page, "parents")
    for name in ("org/japanese", "org/addition"):
        page.locator(f'[name=parents][value="{fetched[name]}"]').check()
    page.get_by_label("Base model", exact=True).select_option(fetched["org/base"])
    to_step(page, "benchmarks")
    asked = Benchmark.objects.get(owner=None, title="Japanese sums")
    page.locator(f'[name=benchmarks][value="{asked.pk}"]').check()
    sums = page.get_by_role("group", name="Japanese sums")
    for split in ("Search", "Validation", "Final"):
        sums.get_by_label(f"{split} questions").fill(str(QUESTIONS))
    to_step(page, "search")
    page.get_by_label("Candidates to score").fill(str(BUDGET))
    to_step(page, "review")
    page.get_by_role("button", name="Launch").click()
    page.locator("[data-ended]").wait_for(timeout=4 * MINUTE)
    assert Run.objects.get().examined
    page.get_by_role("link", name="Open the winner").click()


def decide_build_and_push(page: Any) -> None:
    assert page.get_by_label("Publish it under").input_value() == "apache-2.0"
    page.get_by_role("button", name="Decide", exact=True).click()
    page.get_by_text("may be published under apache-2.0").wait_for()
    page.get_by_role("button", name="Build for download").click()
    page.get_by_text("Checks:").wait_for(timeout=2 * MINUTE)
    page.get_by_label("Repository").fill("owner/journey")
    page.get_by_role("button", name="Push to the Hub").click()
    page.locator("[data-push=done]").wait_for(timeout=MINUTE)


def load_elsewhere(folder: Path) -> Any:
    words = [sys.executable, "-c", LOADED, "owner/journey", str(folder / "cache"), CANARY]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
