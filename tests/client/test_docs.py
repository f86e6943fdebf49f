"""The examples of docs/api.md, run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User

from tests.webapp.runs.choices import library
from webapp.api.models import SCOPES
from webapp.api.tokens import make
from webapp.client import keeping
from webapp.library.models import Benchmark, Parent
from webapp.runs.models import Run


def test_the_examples_of_the_page_do_what_they_say(live_app: str, owner: User, tmp_path: Path) -> None:
    chosen = library(owner, tmp_path)
    for row, name in {chosen.base: "demo/base", chosen.first: "demo/japanese", chosen.second: "demo/addition"}.items():
        Parent.objects.filter(pk=row.pk).update(owner=None, name=name)
    Benchmark.objects.update(owner=None, name="japanese-sums")
    text = (Path(settings.BASE_DIR) / "docs" / "api.md").read_text()
    script = "set -e\n" + "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S))
    environment = os.environ | {
        keeping.ADDRESS: live_app, keeping.TOKEN: make(owner, "docs", SCOPES, 1)[1], "XDG_CONFIG_HOME": str(tmp_path),
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "-c", script], cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [(run.name, run.state, run.budget) for run in Run.objects.all()] == [("from curl", "stopped", 60)]
