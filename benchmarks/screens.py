"""Every screen with 1,000 runs, one of them of 10,000 candidates, and 1,000 models: how soon it is there, and how much is sent for it.

    .venv/bin/python -m benchmarks.screens [candidates] [samples] [runs and models]

Postgres, Valkey and the web server are those of `./progeny up`, with its compression. Chromium opens each screen with nothing kept from
before; shown are the median of five and the slowest. "First paint" is the first contentful paint after the address was asked for; "sent" is
all that came over the wire until nothing more was asked for, headers apart, and of it what came for charts after the text. Queries and
their time are of the page alone, in this process.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.big_run import fill
from benchmarks.servers import Web, services

N_TIMES: Final = 5
FLAGS: Final = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
PAINT: Final = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
CHARTS: Final = "/vendor/echarts/"
N_SMALL: Final = 4
"""Candidates of every other run."""


@dataclass(frozen=True)
class Opened:
    """One look at a screen: milliseconds to the first paint, requests, bytes in all and of the large chart library."""

    paint: float
    n_requests: int
    n_bytes: int
    chart_bytes: int


def main(n_candidates: int, n_samples: int, n_runs: int) -> None:
    """Fill a database, open every screen, print a Markdown table."""
    with tempfile.TemporaryDirectory(prefix="progeny-screens-") as folder, services(Path(folder)):
        from django.core.management import call_command
        from django.db import connection

        call_command("migrate", verbosity=0)
        screens, client = _world(n_candidates, n_samples, n_runs)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        web = Web(Path(folder) / "logs")
        try:
            _measure(screens, client, web)
        finally:
            web.stop()


def addresses(run: Any, candidates: list[Any]) -> Mapping[str, str]:
    """Where each screen is, for a run and two of its candidates or more, the best first; with the first model and benchmark there are."""
    from django.urls import reverse

    from webapp.library.models import Benchmark, Parent

    compared = "&".join(f"c={candidate.pk}" for candidate in candidates)
    return {
        "sign-in": reverse("accounts:login"),
        "runs": reverse("runs:list"),
        "live run": reverse("runs:detail", args=[run.pk]),
        "leaderboard": reverse("runs:leaderboard", args=[run.pk]),
        "across runs": reverse("runs:standings"),
        "candidate": reverse("runs:candidate", args=[run.pk, candidates[0].pk]),
        "compare": f"{reverse('analysis:compare')}?{compared}",
        "genes": reverse("analysis:genes", args=[run.pk]),
        "genealogy": reverse("lineage:genealogy", args=[run.pk]),
        "models": reverse("library:parents"),
        "model": reverse("library:parent", args=[Parent.objects.all()[0].pk]),
        "benchmarks": reverse("library:benchmarks"),
        "benchmark": reverse("library:benchmark", args=[Benchmark.objects.all()[0].pk]),
        "trials": reverse("trials:start"),
        "hub": reverse("hub:find"),
        "new run": reverse("runs:new"),
        "exports": reverse("exports:list"),
        "system": reverse("system:page"),
        "storage": reverse("system:page") + "?tab=storage",
        "workers": reverse("system:page") + "?tab=workers",
        "account": reverse("accounts:account"),
    }


@contextmanager
def chromium() -> Iterator[Any]:
    """The browser of this machine, without a window."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


def session_of(client: Any, site: str) -> dict[str, str]:
    """The cookie by which a browser is signed in as this client of tests is."""
    from django.conf import settings

    name = settings.SESSION_COOKIE_NAME
    return {"name": name, "value": client.cookies[name].value, "url": site}


def _world(n_candidates: int, n_samples: int, n_runs: int) -> tuple[Mapping[str, str], Any]:
    from django.contrib.auth.models import User
    from django.test import Client

    owner = User.objects.create_user("owner")
    run, best = fill(owner, n_candidates, n_samples)
    _others(run, n_runs - 1)
    _models(owner, n_runs)
    others = list(run.candidates.filter(kind="evolved").exclude(pk=best.pk).order_by("-pk")[:1])
    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(owner)
    return addresses(run, [best, *others]), client


def _others(run: Any, n_runs: int) -> None:
    """Runs that have ended, each with its parents and a few candidates of `run`'s."""
    from django.utils import timezone

    from webapp.runs.models import Candidate, Evaluation, Generation, Run

    sources = [*run.candidates.filter(kind="parent"), *run.candidates.filter(kind="evolved")[:N_SMALL]]
    shares = {"fitness": 0.5, "mean": 0.5, "low": 0.4, "high": 0.6, "n": 100}
    now = timezone.now()
    for number in range(n_runs):
        columns = {
            "owner": run.owner,
            "config": run.config,
            "config_digest": run.config_digest,
            "seed": 1,
            "budget": N_SMALL,
        }
        other = Run.objects.create(name=f"Run {number}", state="done", started=now, ended=now, **columns)
        generation = Generation.objects.create(run=other, number=0, population_digest="p", closed=now)
        made = Candidate.objects.bulk_create(
            Candidate(run=other, generation=generation if source.kind == "evolved" else None, kind=source.kind, index=source.index,
                      name=source.name, genome=source.genome, recipe=source.recipe, recipe_digest=source.recipe_digest)
            for source in sources
        )  # fmt: skip
        Run.objects.filter(pk=other.pk).update(winner=made[-1])
        Evaluation.objects.bulk_create(
            Evaluation(run=other, candidate=candidate, split=split, status="done", lease_token=1, finished=now,
                       **(shares if split == "search" else {**shares, "fitness": None}))
            for candidate in made for split in ("search", "final")
        )  # fmt: skip


def _models(owner: Any, n_models: int) -> None:
    """Models that are registered, beside those of the demo; nobody reads their files."""
    from webapp.library.models import Parent

    facts = {
        "model_type": "llama",
        "n_layers": 4,
        "hidden_size": 128,
        "vocab_size": 600,
        "n_parameters": 750_000,
        "n_bytes": 3_000_000,
    }
    Parent.objects.bulk_create(
        Parent(owner=owner, name=f"org/model-{i}", title=f"org/model-{i}", folder=f"/nowhere/{i}", fingerprint=f"blake3:{i}",
               dtype="float32", **facts)
        for i in range(n_models)
    )  # fmt: skip


def _measure(screens: Mapping[str, str], client: Any, web: Web) -> None:
    print(
        f"\nMade by `.venv/bin/python -m benchmarks.screens`; load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.\n"
    )
    print("| screen | first paint, median | slowest | requests | sent | of it charts | queries | their time |")
    print("|---|---|---|---|---|---|---|---|")
    asked = {name: _asked(client, address) for name, address in screens.items()}
    session = session_of(client, f"http://{web.host}")
    with chromium() as browser:
        for screen, address in screens.items():
            cookies = [] if screen == "sign-in" else [session]
            looks = [_opened(browser, f"http://{web.host}{address}", cookies) for _ in range(N_TIMES + 1)][1:]
            print(f"| {screen} | {' | '.join(_cells(looks))} | {' | '.join(asked[screen])} |", flush=True)


def _asked(client: Any, address: str) -> tuple[str, str]:
    """Queries of a page, and the milliseconds that they took together."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client.get(address)
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(address)
    if answer.status_code not in (200, 302):
        raise RuntimeError(f"{address} answered {answer.status_code}")
    return str(len(queries)), f"{1000 * sum(float(query['time']) for query in queries):.0f} ms"


def _opened(browser: Any, address: str, cookies: list[Any]) -> Opened:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.add_cookies(cookies)
    page = context.new_page()
    wire = context.new_cdp_session(page)
    wire.send("Network.enable")
    sent: dict[str, int] = {}
    names: dict[str, str] = {}
    wire.on("Network.requestWillBeSent", lambda said: names.__setitem__(said["requestId"], said["request"]["url"]))
    wire.on("Network.loadingFinished", lambda said: sent.__setitem__(said["requestId"], int(said["encodedDataLength"])))
    answer = page.goto(address, wait_until="networkidle")
    if answer is None or answer.status != 200:
        raise RuntimeError(f"{address} answered {answer and answer.status}")
    paint = page.evaluate(PAINT)
    context.close()
    charts = sum(n for request, n in sent.items() if CHARTS in names[request])
    return Opened(float(paint), len(sent), sum(sent.values()), charts)


def _cells(looks: list[Opened]) -> list[str]:
    paints = [look.paint for look in looks]
    last = looks[-1]
    charts = f"{last.chart_bytes / 1000:.0f} kB" if last.chart_bytes else "–"
    shown = [f"{statistics.median(paints):.0f} ms", f"{max(paints):.0f} ms", str(last.n_requests)]
    return [*shown, f"{last.n_bytes / 1000:.0f} kB", charts]


if __name__ == "__main__":
    main(*(int(word) for word in [*sys.argv[1:], *["10000", "100", "1000"][len(sys.argv) - 1 :]]))
