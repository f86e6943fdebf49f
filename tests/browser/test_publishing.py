"""From a candidate to the Hub in a real Chromium: licence, folder, push, and the pushed folder loads in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from tests.canary import CANARY
from tests.conftest import hired_worker, wait_for
from tests.hub import writing
from tests.hub.server import FakeHub
from tests.ledger import world
from tests.merging.models import parent, write_parent, write_relative
from webapp.accounts.hub import keep_token
from webapp.exports.models import Push
from webapp.library.actions import register_parent
from webapp.runs import actions
from workers.ledger import generations
from workers.ledger.searches import Searches

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
LOADS = """
import json, sys
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], local_files_only=True)
words = AutoTokenizer.from_pretrained(sys.argv[1], local_files_only=True)("one", return_tensors="pt")
print(json.dumps({"n": model.num_parameters(), "finite": bool(model(**words).logits.isfinite().all())}))
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_candidate_is_licensed_exported_pushed_and_loads_elsewhere(
    site: str, page: Any, owner: User, fake_hub: FakeHub, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a minute: a worker starts, builds a folder, loads it once, and starts what pushes."""
    fake_hub.routes = fake_hub.routes + writing.routes
    base = write_parent(tmp_path / "base")
    folders = [write_relative(tmp_path / name, base, i + 1) for i, name in enumerate(("one", "two"))]
    for folder, licence in zip(folders, ("apache-2.0", "cc-by-nc-4.0"), strict=True):
        (folder / "README.md").write_text(f"---\nlicense: {licence}\n---\n")
        register_parent(owner, folder, folder.name)
    config = world.config(tmp_path, parents=tuple(map(parent, folders)))
    run = actions.launch(owner, config, "to the Hub")
    generations.advance(run.pk, Searches())
    actions.pause(run)
    candidate = run.candidates.filter(kind="evolved").order_by("index")[0]
    keep_token(owner, CANARY)

    page.goto(f"{site}/runs/{run.pk}/candidates/{candidate.pk}/")
    page.get_by_text("The most restrictive of the licences below is cc-by-nc-4.0").wait_for()
    assert page.get_by_label("Publish it under").input_value() == "cc-by-nc-4.0"
    page.get_by_role("button", name="Decide", exact=True).click()
    page.get_by_text("may be published under cc-by-nc-4.0").wait_for()
    page.get_by_text("Build the folder above first.").wait_for()
    with hired_worker(tmp_path):
        page.get_by_role("button", name="Build for download").click()
        page.get_by_text("Checks:").wait_for(timeout=90_000)
        page.get_by_label("Repository").fill("owner/from-the-browser")
        page.get_by_role("button", name="Push to the Hub").click()
        page.locator("[data-push=done]").wait_for(timeout=60_000)
    assert page.get_by_role("link", name="owner/from-the-browser").get_attribute("href") == (
        f"{fake_hub.url}/owner/from-the-browser/tree/main"
    )
    repo = fake_hub.shelf.repos["owner/from-the-browser"]
    assert repo.private and Push.objects.get().commit == repo.refs["main"]
    there = tmp_path / "there"
    there.mkdir()
    for name, blob in repo.commits[repo.refs["main"]].files.items():
        (there / name).write_bytes(blob.content)
    checked = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=there, check=False)
    assert checked.returncode == 0
    done = subprocess.run([sys.executable, "-c", LOADS, str(there)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["finite"]
    assert "license: cc-by-nc-4.0" in (there / "README.md").read_text()
    wait_for(lambda: CANARY not in (tmp_path / "worker.log").read_text(), "the log says nothing of the token")
