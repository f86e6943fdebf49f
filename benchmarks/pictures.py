"""Pictures of every screen, wide and on a phone, light and dark, of the demo as it runs here.

    .venv/bin/python -m benchmarks.pictures docs/screens

`./progeny up` is started on a data folder of its own, the quick demo runs to its end, its winner is built for download and asked three
questions; a second run is on its way while the pictures are taken. A picture of more than 150 kB is refused.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.screens import addresses, chromium, session_of
from benchmarks.servers import free_port

ROOT: Final = Path(__file__).resolve().parent.parent
SIZES: Final = {"wide": {"width": 1280, "height": 700}, "phone": {"width": 360, "height": 740}}
DRAWN: Final = """() => [...document.querySelectorAll("[data-plot]")]
    .every((plot) => plot.dataset.state !== "loading" || plot.getBoundingClientRect().top > innerHeight)"""
"""Every chart that is in sight is."""
MOST_BYTES: Final = 150_000
SETTLE_MS: Final = 1500
LONGEST_SECONDS: Final = 900


def main(folder: Path) -> None:
    """Take all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="progeny-pictures-") as data:
        os.environ |= {"DJANGO_SETTINGS_MODULE": "webapp.settings", "PROGENY_DATA": data}
        port = str(free_port())
        up = subprocess.Popen([ROOT / "progeny", "up", "--data", data, "--port", port], stdout=subprocess.DEVNULL)
        second: subprocess.Popen[bytes] | None = None
        try:
            _wait(lambda: _is_up(port))
            subprocess.run(_evolve("quick"), check=True, stdout=subprocess.DEVNULL)
            second = subprocess.Popen(_evolve("standard"), stdout=subprocess.DEVNULL)
            _take(f"http://127.0.0.1:{port}", folder)
            _check_sizes(folder)
        finally:
            for process in (second, up):
                if process:
                    process.terminate()
                    process.wait()


def _evolve(preset: str) -> list[str]:
    return [str(ROOT / "progeny"), "evolve", "--preset", preset, "--json"]


def _is_up(port: str) -> bool:
    from webapp.system.programs import Address

    return Address("127.0.0.1", int(port)).answers()


def _take(site: str, folder: Path) -> None:
    import django

    django.setup()
    from django.test import Client
    from django.urls import reverse

    from merging.recipes import Recipe
    from webapp.accounts.setup import local_user
    from webapp.exports.actions import request_export
    from webapp.exports.models import Export
    from webapp.library.models import Parent
    from webapp.runs.config import RunConfig
    from webapp.runs.models import Run
    from webapp.trials.actions import start as start_trial
    from webapp.trials.models import Trial

    done = Run.objects.exclude(winner=None).latest("created")
    export = request_export(done.owner, done.winner)
    asked = [one.spec for one in RunConfig.from_json(done.config).objectives]
    trial = start_trial(done.owner, Recipe.from_json(done.winner.recipe), asked, done.winner.name)
    _wait(lambda: Export.objects.filter(pk=export.pk, status="done").exists())
    _wait(lambda: Trial.objects.filter(pk=trial.pk, status="done").exists())
    live = lambda: Run.objects.filter(state="running").latest("created")  # noqa: E731
    _wait(lambda: Run.objects.filter(state="running").exists() and _n_scored(live()) > 60)
    runner_up = done.candidates.filter(kind="evolved").exclude(pk=done.winner_id).order_by("-evaluations__fitness")[:1]
    screens = {**addresses(done, [done.winner, *runner_up])}
    screens["live run"] = addresses(live(), [done.winner])["live run"]
    parent = RunConfig.from_json(done.config).parents[0]
    screens["model"] = reverse(
        "library:parent", args=[Parent.objects.get(fingerprint=parent.fingerprint, owner=None).pk]
    )
    screens["people"] = reverse("accounts:people")
    client = Client()
    client.force_login(local_user())
    session = session_of(client, site)
    with chromium() as browser:
        for scheme in ("light", "dark"):
            for size, viewport in SIZES.items():
                for screen, address in screens.items():
                    context = browser.new_context(viewport=viewport, color_scheme=scheme)
                    context.add_cookies([] if screen == "sign-in" else [session])
                    _picture(
                        context.new_page(), site + address, folder / f"{screen.replace(' ', '-')}-{size}-{scheme}.png"
                    )
                    context.close()


def _picture(page: Any, address: str, file: Path) -> None:
    page.goto(address, wait_until="load")
    page.wait_for_function(DRAWN)
    page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=str(file))


def _check_sizes(folder: Path) -> None:
    large = [
        f"{file.name} ({file.stat().st_size})"
        for file in sorted(folder.glob("*.png"))
        if file.stat().st_size > MOST_BYTES
    ]
    if large:
        raise RuntimeError(f"of more than {MOST_BYTES} bytes: {', '.join(large)}")


def _n_scored(run: Any) -> int:
    return int(run.evaluations.filter(split="search", status="done").count())


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the demo takes too long")
        time.sleep(0.5)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
