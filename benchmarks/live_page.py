"""What an open live page takes of a processor while results come in.

    .venv/bin/python -m benchmarks.live_page [RATE SECONDS CANDIDATES...]

Postgres, Valkey and the web server are those of the product. A process of its own scores candidates as workers write them, each with its
answers, in generations of 20, and announces them; a Chromium with one page, of 1280 x 800 pixels and drawn without a GPU, looks at the run
from its top. Counted is the processor time of all processes of that Chromium, first while nothing happens, then while results come in.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any, Final
from uuid import UUID

from benchmarks.big_run import POPULATION, Writer, fill
from benchmarks.screens import chromium, session_of
from benchmarks.servers import Web, services

N_SAMPLES: Final = 50
SETTLE_SECONDS: Final = 8.0
RENDERER: Final = "renderer"


@dataclass(frozen=True)
class Used:
    """Shares of a core: of all of Chromium, of the process in which the page is, and of the web server."""

    browser: float
    page: float
    web: float

    def __str__(self) -> str:
        return f"{self.browser:.1%} | {self.page:.1%} | {self.web:.1%}"


def main(rate: float, seconds: float, sizes: Sequence[int]) -> None:
    """Watch runs that have so many candidates already, and print a Markdown table."""
    print("| candidates before | events a second | Chromium | of it the page's process | web server | load average |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="progeny-live-page-") as folder, services(Path(folder)):
        for n_candidates in sizes:
            _measure(Path(folder), n_candidates, rate, seconds)


def write(run_id: UUID, rate: float, seconds: float) -> None:
    """What workers do with results: rows and an event in one transaction, then a word to watchers."""
    from django.db import transaction

    from merging.recipes import Recipe
    from webapp.runs.config import RunConfig
    from webapp.runs.models import Generation, Run
    from workers.events import Publisher

    run = Run.objects.get(pk=run_id)
    (objective,) = RunConfig.from_json(run.config).objectives
    writer, publisher = Writer(objective.spec, N_SAMPLES), Publisher()
    sample = run.candidates.filter(kind="evolved")[0]
    recipe, n_before = Recipe.from_json(sample.recipe), run.candidates.filter(kind="evolved").count()
    began = time.monotonic()
    for i in range(round(rate * seconds)):
        time.sleep(max(0.0, began + i / rate - time.monotonic()))
        number, index = divmod(n_before + i, POPULATION)
        with transaction.atomic():
            generation, _ = Generation.objects.get_or_create(
                run=run, number=number, defaults={"population_digest": "p", "environment": {}}
            )
            _score(writer, generation, index, recipe, sample.genome, n_before + i + 1)
        publisher.announce(run_id)
    publisher.close()


def _score(writer: Writer, generation: Any, index: int, recipe: Any, genome: Any, number: int) -> None:
    """One candidate more, and the event that tells of it. Skills wander, so that there is a new best now and then."""
    from webapp.runs import events
    from webapp.runs.models import Candidate

    name = f"g{generation.number}.{index}"
    candidate = Candidate.objects.create(
        run=generation.run, generation=generation, kind="evolved", index=index, name=name, genome=genome,
        recipe=recipe.to_json(), recipe_digest=recipe.digest(),
    )  # fmt: skip
    mean = writer.add(candidate, 0.4 + 0.3 * ((7919 * number) % 101) / 101)
    writer.flush()
    shares = {"fitness": mean, "mean": mean, "low": max(0.0, mean - 0.1), "high": min(1.0, mean + 0.1), "n": N_SAMPLES}
    place = {"candidate": candidate.pk, "name": name, "generation": generation.number, "index": index, "number": number}
    rest = {"kind": "evolved", "split": "search", "is_healthy": True, "seconds": 1.1}
    events.record(generation.run_id, "evaluation.done", {**place, **shares, **rest})


def _measure(folder: Path, n_candidates: int, rate: float, seconds: float) -> None:
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import connections
    from django.test import Client

    call_command("migrate", verbosity=0)
    owner, _ = User.objects.get_or_create(username="owner")
    run, _ = fill(owner, n_candidates, N_SAMPLES)
    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(owner)
    connections.close_all()
    web = Web(folder / "logs")
    try:
        with chromium() as browser:
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            context.add_cookies([session_of(client, f"http://{web.host}")])
            page = context.new_page()
            page.goto(f"http://{web.host}/runs/{run.pk}/")
            page.locator("[data-live][data-state=live]").wait_for()
            page.wait_for_timeout(1000 * SETTLE_SECONDS)
            _print(n_candidates, 0, _used(page, web, seconds))
            words = [str(run.pk), str(rate), str(seconds + 2 * SETTLE_SECONDS)]
            with Popen([sys.executable, "-m", "benchmarks.live_page", "write", *words]) as writer:
                page.wait_for_timeout(1000 * SETTLE_SECONDS)
                _print(n_candidates, rate, _used(page, web, seconds))
                writer.wait()
            if writer.returncode:
                raise RuntimeError("results could not be written")
    finally:
        web.stop()


def _print(n_candidates: int, rate: float, used: Used) -> None:
    print(f"| {n_candidates:,} | {rate:g} | {used} | {os.getloadavg()[0]:.1f} |", flush=True)


def _used(page: Any, web: Web, seconds: float) -> Used:
    before, began = dict(_browsers()), time.monotonic()
    web.begin()
    page.wait_for_timeout(1000 * seconds)
    span = time.monotonic() - began
    spent = {key: used - before.get(key, 0.0) for key, used in _browsers()}
    of_page = sum(used for (kind, _), used in spent.items() if kind == RENDERER)
    return Used(sum(spent.values()) / span, of_page / span, web.used()[0])


def _browsers() -> Iterator[tuple[tuple[str, int], float]]:
    """The processes of Chromium below this one, by kind and number, and the seconds that each has computed."""
    children: dict[int, list[int]] = {}
    seconds: dict[int, float] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(") ", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(int(fields[1]), []).append(int(folder.name))
        seconds[int(folder.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    waiting = [os.getpid()]
    while waiting:
        below = children.get(waiting.pop(), [])
        waiting += below
        for pid in below:
            words = _words(pid)
            if "chrom" in words[0] or "headless" in words[0]:
                kinds = [word.removeprefix("--type=") for word in words if word.startswith("--type=")]
                yield (kinds[0] if kinds else "browser", pid), seconds[pid]


def _words(pid: int) -> list[str]:
    """What a process was started with; Chromium's children write it as one line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").split(" ")
    except (FileNotFoundError, ProcessLookupError):
        return [""]


if __name__ == "__main__":
    if sys.argv[1:2] == ["write"]:
        import django

        django.setup()
        write(UUID(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
    else:
        rate, seconds, *sizes = sys.argv[1:] or ("10", "30", "200", "10000")
        main(float(rate), float(seconds), [int(size) for size in sizes])
